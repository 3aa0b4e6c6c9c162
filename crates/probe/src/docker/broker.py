# Whether the broker that this container is configured with takes a connection from in here: a TCP connection, the header of
# AMQP 0-9-1, and the broker's Connection.Start. Run by runbookd inside a container, with the name of the variable that holds the
# address. Says one word, never the address: there is a password in it. Ends with 0 for yes, 1 for no, 3 where it cannot tell.
import os, signal, socket, ssl, sys
from urllib.parse import urlsplit

# Looking up a name has no time limit of its own.
signal.alarm(3)


def ask(address):
    try:
        url = urlsplit(address.strip())
        scheme, host, port = url.scheme, url.hostname or "localhost", url.port
    except ValueError:
        return "unreadable"
    if scheme not in ("amqp", "amqps", "pyamqp"):
        return "unreadable"
    try:
        with socket.create_connection((host, port or (5671 if scheme == "amqps" else 5672)), timeout=2) as plain:
            link = plain
            if scheme == "amqps":
                # Whether it is the right broker is not asked here: nothing secret is sent.
                context = ssl.create_default_context()
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                link = context.wrap_socket(plain, server_hostname=host)
            link.sendall(b"AMQP\x00\x00\x09\x01")
            said = b""
            while len(said) < 11:
                more = link.recv(64)
                if not more:
                    return "other" if said else "closed"
                said += more
            return "reachable" if said[:1] == b"\x01" and said[7:11] == b"\x00\x0a\x00\x0a" else "other"
    except socket.gaierror:
        return "name"
    except (socket.timeout, TimeoutError):
        return "silent"
    except ConnectionRefusedError:
        return "refused"
    except ssl.SSLError:
        return "tls"
    except (OSError, ValueError):
        return "unreachable"


value = os.environ.get(sys.argv[1], "")
words = [ask(address) for address in value.split(";")] if value else ["unset"]
word = "reachable" if "reachable" in words else words[0]
print(word, flush=True)
sys.exit({"reachable": 0, "unset": 3, "unreadable": 3}.get(word, 1))
