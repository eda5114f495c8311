"""Clients are known by their certificates: who they are, from the TLS extension of ASGI.

fastserve examples/client_certificate.py --ssl-certfile server.pem --ssl-keyfile server.key \
    --ssl-ca-certs clients-ca.pem --ssl-cert-reqs required
"""


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    tls = scope["extensions"].get("tls")
    if tls is None or not tls["client_cert_chain"]:
        status, text = 403, "this needs a certificate\n"
    else:
        status, text = 200, f"Hello, {tls['client_cert_name']}!\n"
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
