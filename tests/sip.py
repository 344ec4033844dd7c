# SPDX-License-Identifier: BSD-3-Clause
"""Sends bad INVITEs to the user agent of examples/sip, for tests/sip.sh.

    sip.py capture FILE                prints the port of a SIP end that writes the description of each INVITE to FILE,
                                       and answers 486
    sip.py send PORT FILE NAME N KIND...   calls NAME at PORT N times, with the description of FILE as each KIND in turn
                                       changes it. Prints how many were answered with each status and how many of the
                                       answers had a MIKEY message
    sip.py twice                       prints the port of a SIP end that answers each INVITE with two 200s, of two
                                       branches, and then prints each ACK and BYE with the branch
    sip.py silent                      prints the port of a server that takes connections and says nothing
    sip.py relay PORT RULE...          prints the port of a proxy in front of the SIP end at PORT. It prints the kind of
                                       each message: a method, re-INVITE, or the status of an INVITE. RULE is
                                       drop:KIND:N, to lose the first N of a kind; twice, to send each message twice; or
                                       cross, to hold a re-INVITE back until one comes from the other end
"""

import base64
import re
import socket
import sys

KEY = re.compile(rb"a=key-mgmt:mikey ([A-Za-z0-9+/=]+)")


def line(octets):
    return b"a=key-mgmt:mikey " + base64.b64encode(octets)


def changed(description, kind):
    """The description as a bad one of that kind."""
    message = base64.b64decode(KEY.search(description).group(1))

    def with_key(text):
        return KEY.sub(lambda _: text, description)

    if kind == "same":
        return description
    if kind == "sdp":
        return description.replace(b"c=IN IP4", b"c IN IP4")
    if kind == "none":
        return b""
    if kind == "nokey":
        return with_key(b"a=nothing")
    if kind == "base64":
        return with_key(b"a=key-mgmt:mikey ????")
    if kind == "short":
        return with_key(line(message[: len(message) // 2]))
    if kind == "mode":  # RSA-R of RFC 4738
        return with_key(line(message[:1] + b"\x07" + message[2:]))
    if kind == "mac":
        return with_key(line(message[:-1] + bytes([message[-1] ^ 1])))
    if kind.startswith("file="):
        with open(kind[5:], "rb") as other:
            return other.read()
    if kind == "sections":  # of which the agent answers only one
        return description + b"m=audio 9 RTP/AVP 0\r\n"
    if kind == "path":
        return description.replace(b"a=path:msrps", b"a=path:msrp")
    sys.exit("sip.py: no kind " + kind)


def headers(message, *names):
    """The lines of those headers, as they stand."""
    lines = message.split(b"\r\n\r\n")[0].split(b"\r\n")
    return b"".join(one + b"\r\n" for one in lines if one.split(b":")[0].lower() in names)


def udp():
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    end.bind(("127.0.0.1", 0))
    return end


def capture(file):
    end = udp()
    print(end.getsockname()[1], flush=True)
    while True:
        message, peer = end.recvfrom(65535)
        if not message.startswith(b"INVITE"):
            continue
        with open(file, "wb") as out:
            out.write(message.split(b"\r\n\r\n", 1)[1])
        to = headers(message, b"to")[:-2] + b";tag=1\r\n"
        rest = headers(message, b"via", b"from", b"call-id", b"cseq")
        end.sendto(b"SIP/2.0 486 Busy Here\r\n" + rest + to + b"Content-Length: 0\r\n\r\n", peer)


def twice():
    end = udp()
    port = end.getsockname()[1]
    print(port, flush=True)
    while True:
        message, peer = end.recvfrom(65535)
        rest = headers(message, b"via", b"from", b"call-id", b"cseq", b"record-route")
        to = headers(message, b"to")
        if message.startswith(b"INVITE"):
            body = message.split(b"\r\n\r\n", 1)[1]
            for tag in b"a", b"b":
                end.sendto(
                    b"SIP/2.0 200 OK\r\n%s%s;tag=%s\r\nContact: <sip:%s@127.0.0.1:%d>\r\n"
                    b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s"
                    % (rest, to[:-2], tag, tag, port, len(body), body),
                    peer,
                )
            continue
        print(message.split()[0].decode(), to.split(b"tag=")[1][:1].decode(), flush=True)
        if message.startswith(b"BYE"):
            end.sendto(b"SIP/2.0 200 OK\r\n" + rest + to + b"Content-Length: 0\r\n\r\n", peer)


def request(method, name, call, port, own, to, body=b""):
    kind = b"Content-Type: application/sdp\r\n" if body else b""
    return (
        b"%s sip:%s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bK-bad-%d\r\nMax-Forwards: 70\r\n"
        b"From: <sip:alice@example.com>;tag=bad%d\r\n%s\r\nCall-ID: bad-%d-%d\r\nCSeq: 1 %s\r\n"
        b"Contact: <sip:alice@127.0.0.1:%d>\r\n%sContent-Length: %d\r\n\r\n%s"
        % (method, name, own, call, call, to, own, call, method, own, kind, len(body), body)
    )


def send(port, file, name, number, kinds):
    end = udp()
    end.settimeout(20)
    end.connect(("127.0.0.1", port))
    own = end.getsockname()[1]
    with open(file, "rb") as captured:
        description = captured.read()
    to = b"To: <sip:%s>" % name
    answers, mikey = {}, 0
    for call in range(number):
        body = changed(description, kinds[call % len(kinds)])
        end.send(request(b"INVITE", name, call, port, own, to, body))
        while True:
            answer = end.recv(65535)
            status = int(answer.split()[1])
            if b"bad-%d-%d\r\n" % (own, call) in answer and status >= 200:
                break
        answers[status] = answers.get(status, 0) + 1
        mikey += KEY.search(answer) is not None
        end.send(request(b"ACK", name, call, port, own, headers(answer, b"to")[:-2]))
    print(" ".join("%d: %d" % one for one in sorted(answers.items())) + ", mikey: %d" % mikey)


def silent():
    end = socket.socket()
    end.bind(("127.0.0.1", 0))
    end.listen(128)
    print(end.getsockname()[1], flush=True)
    connections = []
    while True:
        connections.append(end.accept())


def kind_of(message):
    """The kind of a message, as the rules of a relay name it."""
    first = message.split()[1 if message.startswith(b"SIP/2.0") else 0].decode()
    if message.startswith(b"SIP/2.0"):
        return first if b"INVITE" in headers(message, b"cseq") else "other " + first
    return "re-INVITE" if first == "INVITE" and b"tag=" in headers(message, b"to") else first


def forward(message, own, port):
    """The message as a proxy passes it on (RFC 3261 16.6, 16.7), and the port that it goes to."""
    if message.startswith(b"SIP/2.0"):
        message = re.sub(rb"\r\nVia:[^\r]*", b"", message, count=1)
        return message, int(re.search(rb"\r\nVia: [^\r;]*:(\d+)", message).group(1))
    branch = re.search(rb"\r\nVia:[^\r]*branch=([^;\r]*)", message).group(1)
    message = re.sub(rb"\r\nRoute: <sip:127.0.0.1:%d;lr>" % own, b"", message)
    uri = re.match(rb"\S+ sip:(?:[^ ;@]*@)?127.0.0.1:(\d+)", message)
    more = b"\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=%s-r" % (own, branch)
    if kind_of(message) == "INVITE":
        more += b"\r\nRecord-Route: <sip:127.0.0.1:%d;lr>" % own
    return message.replace(b"\r\n", more + b"\r\n", 1), int(uri.group(1)) if uri else port


def relay(port, rules):
    end = udp()
    own = end.getsockname()[1]
    print(own, flush=True)
    lost = {rule.split(":")[1]: int(rule.split(":")[2]) for rule in rules if rule.startswith("drop:")}
    held = None
    while True:
        message, peer = end.recvfrom(65535)
        if b"\r\n\r\n" not in message:  # keeps the way through a NAT open
            continue
        kind = kind_of(message)
        print(kind, flush=True)
        if lost.get(kind, 0) > 0:
            lost[kind] -= 1
            continue
        out = forward(message, own, port)
        if kind == "re-INVITE" and "cross" in rules:
            if held is None or held[1] == peer:
                held = out, peer
                continue
            end.sendto(held[0][0], ("127.0.0.1", held[0][1]))
            rules = [rule for rule in rules if rule != "cross"]
        for _ in range(2 if "twice" in rules else 1):
            end.sendto(out[0], ("127.0.0.1", out[1]))


if __name__ == "__main__":
    if sys.argv[1] == "capture":
        capture(sys.argv[2])
    elif sys.argv[1] == "send":
        send(int(sys.argv[2]), sys.argv[3], sys.argv[4].encode(), int(sys.argv[5]), sys.argv[6:])
    elif sys.argv[1] == "twice":
        twice()
    elif sys.argv[1] == "relay":
        relay(int(sys.argv[2]), sys.argv[3:])
    else:
        silent()
