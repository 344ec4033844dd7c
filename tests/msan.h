/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The MBEDTLS_USER_CONFIG_FILE of tests/run.sh msan. The headers of mbedTLS 3.6 refuse MSan together with assembly, as
 * MSan does not see what assembly writes. The installed library stays as it is: tests/msan.c tells MSan what it writes.
 * Only check_config.h asks for MBEDTLS_HAVE_ASM, so all structures stay the same. 2.28 has no such check, and wants it.
 */
#if defined(MBEDTLS_VERSION_NUMBER) && MBEDTLS_VERSION_NUMBER >= 0x03000000
#undef MBEDTLS_HAVE_ASM
#endif
