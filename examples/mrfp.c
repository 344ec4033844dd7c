/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An MRFP (3GPP TS 23.333 5.20.2): the media plane of a conference or application server. It has the TCP and TLS
 * connections of many MSRP and BFCP streams, each with a key of its own. An MRFC, which speaks SIP and MIKEY-TICKET,
 * gives it streams and keys over a Unix socket.
 *
 *     mrfp --socket PATH [--address IP] [--expire SECONDS]
 *
 * It prints `mrfp: ready on PATH` when MRFCs can connect, and ends with SIGTERM or SIGINT. --address is the address that
 * it awaits peers at and connects from, 127.0.0.1 by default. The socket has mode 0600: anybody who can connect can read
 * no key, but can add and remove streams.
 *
 * Commands. A command is one line that ends in LF, with one blank between two words. Each gets one line as its answer,
 * in the order of the commands:
 *
 *     add NAME passive msrp|bfcp client|server IDENTITY HEXKEY
 *     add NAME active msrp|bfcp client|server IDENTITY HEXKEY HOST PORT [OWN-PATH PEER-PATH]
 *     announce NAME passive msrp|bfcp client|server
 *                                   -> ok NAME PORT
 *     key NAME IDENTITY HEXKEY      -> ok NAME
 *     remove NAME                   -> ok NAME
 *     count                         -> ok N             streams that are announced, awaited or connected
 *     quiet                         -> ok quiet         this MRFC gets no events from now on
 *     any of them                   -> error NAME TEXT  the command can't be done
 *                                   -> error - TEXT     the line is wrong
 *
 * After an error nothing has changed. TEXT is for people. PORT is the TCP port where a passive stream is awaited, or the
 * local port of an active one.
 *
 * - NAME: 1 to 128 octets that the MRFC chooses. Each stream has one of its own as long as it is there.
 * - passive or active: whether the MRFP awaits TCP or opens it (mkt_roles.tcp: MKT_END_SERVER or MKT_END_CLIENT).
 * - client or server: the role in TLS (mkt_roles.tls). MSRP: the active end is the client (RFC 6135 6). BFCP: the
 *   offerer is the client, whether it is active or passive (RFC 8856 8).
 * - IDENTITY: the PSK identity of mkt_csb_psk_identity(), up to 256 octets. No other stream has it.
 * - HEXKEY: the TEK of mkt_csb_tek(), 16 to 32 octets, as hex digits.
 * - HOST: an IP address, no name.
 * - OWN-PATH and PEER-PATH: a=path of both ends. With them the MRFP sends an MSRP SEND without content as soon as TLS
 *   is there, which an active end must do (RFC 4975 5.4). Without them the MRFC has the peer send first.
 * - All words are visible ASCII. A line has up to 4,096 octets.
 *
 * `announce` is for an offer that lets the peer connect: the peer may connect before its answer, and the key, are here.
 * Its connections wait, unread, until `key` gives the stream its key. Without it the stream expires after --expire
 * SECONDS, 300 by default. For a stream that has a key, `key` replaces it: the connection goes on, and the key is for the
 * next handshake.
 *
 * Events are lines that come unasked, to each MRFC that is connected, between the answers:
 *
 *     connected NAME                TCP and TLS are there, and the peer has proved the key
 *     failed NAME REASON            TCP or TLS failed before that. A passive stream waits for another connection, an
 *                                   active one is gone. REASON is for people
 *     ended NAME HOW                the stream is gone: its key is wiped and TCP is released. HOW is one of
 *                                   closed, cut, alert, failed: the session ended, as enum mkt_tls_state has it
 *                                   removed: by the command `remove`, if the stream was connected
 *                                   expired: announced, and no key came
 *
 * A stream belongs to no MRFC: any of them may add, re-key or remove it, and it stays if they all disconnect. An MRFC
 * that does not read loses its connection when 65,536 octets wait for it; the streams stay.
 *
 * Media. MSRP (RFC 4975): a SEND is answered with 200 OK. If its text begins with `echo `, the MRFP sends the rest of the
 * text back in a SEND of its own. BFCP (RFC 4582, 8855): the MRFP is the floor control server; it answers Hello with
 * HelloAck, and other primitives with an Error. Nothing is forwarded from one stream to another.
 */
