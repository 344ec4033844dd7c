/* SPDX-License-Identifier: BSD-3-Clause */
#include "peer.h"

#include <gst/gst.h>
#include <gst/sdp/gstmikey.h>

static struct {
    GstMIKEYMessage *message;
    GBytes *octets;
} peers[PEER_MESSAGES];

static void add_policy(GstMIKEYMessage *message)
{
    static const guint8 value = 1;
    GstMIKEYPayload *sp = gst_mikey_payload_new(GST_MIKEY_PT_SP);
    gst_mikey_payload_sp_set(sp, 0, GST_MIKEY_SEC_PROTO_SRTP);
    for (guint8 type = GST_MIKEY_SP_SRTP_ENC_ALG; type < GST_MIKEY_SP_SRTP_SRTP_PREFIX_LEN; type++)
        gst_mikey_payload_sp_add_param(sp, type, 1, &value);
    gst_mikey_message_add_payload(message, sp);
}

static gsize build(enum peer_message which, size_t payloads, size_t key)
{
    enum { RAND = 30 };
    static const guint8 zeros[4096];
    GstMIKEYMessage *message = gst_mikey_message_new();
    GstMIKEYPayload *kemac = gst_mikey_payload_new(GST_MIKEY_PT_KEMAC);
    GstMIKEYPayload *tgk = gst_mikey_payload_new(GST_MIKEY_PT_KEY_DATA);
    const size_t others = which == PEER_POLICY ? 3 : 2;
    gst_mikey_message_set_info(message, GST_MIKEY_VERSION, GST_MIKEY_TYPE_PSK_INIT, FALSE, GST_MIKEY_PRF_MIKEY_1, 7,
                               GST_MIKEY_MAP_TYPE_SRTP);
    gst_mikey_message_add_cs_srtp(message, 0, 1, 0);
    gst_mikey_message_add_t_now_ntp_utc(message);
    for (size_t i = others; i < payloads; i++)
        gst_mikey_message_add_rand(message, RAND, zeros);
    if (which == PEER_POLICY)
        add_policy(message);
    gst_mikey_payload_kemac_set(kemac, GST_MIKEY_ENC_NULL, GST_MIKEY_MAC_NULL);
    gst_mikey_payload_key_data_set_key(tgk, GST_MIKEY_KD_TGK, (guint16)key, zeros);
    gst_mikey_payload_kemac_add_sub(kemac, tgk);
    gst_mikey_message_add_payload(message, kemac);
    peers[which].message = message;
    peers[which].octets = gst_mikey_message_to_bytes(message, NULL, NULL);
    return g_bytes_get_size(peers[which].octets);
}

static void unbuild(enum peer_message which)
{
    gst_mikey_message_unref(peers[which].message);
    g_bytes_unref(peers[which].octets);
}

bool peer_open(size_t octets, size_t payloads)
{
    enum { KEY = 16 };
    bool fits = true;
    gst_init(NULL, NULL);
    for (enum peer_message which = PEER_PLAIN; which < PEER_MESSAGES; which++) {
        const size_t n = build(which, payloads, KEY);
        unbuild(which);
        fits = fits && n <= octets && build(which, payloads, KEY + octets - n) == octets;
    }
    return fits;
}

void peer_close(void)
{
    for (enum peer_message which = PEER_PLAIN; which < PEER_MESSAGES; which++)
        unbuild(which);
}

void peer_parse(enum peer_message which)
{
    gsize n;
    gconstpointer p = g_bytes_get_data(peers[which].octets, &n);
    GstMIKEYMessage *parsed = gst_mikey_message_new_from_data(p, n, NULL, NULL);
    g_assert(parsed != NULL);
    gst_mikey_message_unref(parsed);
}

void peer_serialise(enum peer_message which)
{
    g_bytes_unref(gst_mikey_message_to_bytes(peers[which].message, NULL, NULL));
}

const char *peer_version(void)
{
    static char text[32];
    guint major, minor, micro, nano;
    gst_version(&major, &minor, &micro, &nano);
    g_snprintf(text, sizeof text, "%u.%u.%u", major, minor, micro);
    return text;
}
