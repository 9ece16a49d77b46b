"""A server of gRPC's health service: just enough HTTP/2 for one call a connection, written by hand."""
import socketserver
import struct
import threading

DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def _frame(kind, flags, stream, payload=b''):
  return struct.pack('>I', len(payload))[1:] + bytes((kind, flags)) + struct.pack('>I', stream) + payload


def _literal(name, value):
  """HPACK: a literal field that is not indexed."""
  return b'\0' + bytes((len(name),)) + name + bytes((len(value),)) + value


class _Handler(socketserver.BaseRequestHandler):
  def exactly(self, n):
    data = b''
    while len(data) < n:
      more = self.request.recv(n - len(data))
      if not more:
        raise ConnectionError
      data += more
    return data

  def handle(self):
    try:
      self.serve()
    except OSError:
      pass

  def serve(self):
    assert self.exactly(24) == b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
    self.request.sendall(_frame(SETTINGS, 0, 0))
    while True:
      head = self.exactly(9)
      size, kind, flags, stream = int.from_bytes(head[:3], 'big'), head[3], head[4], int.from_bytes(head[5:], 'big')
      payload = self.exactly(size)
      if kind == SETTINGS and not flags & ACK:
        self.request.sendall(_frame(SETTINGS, ACK, 0))
      if kind == DATA and flags & END_STREAM:
        self.server.services.append(payload[7:].decode())
        self.answer(stream)

  def answer(self, stream):
    trailers = _literal(b'grpc-status', str(self.server.code).encode()) + _literal(b'grpc-message', b'because')
    self.request.sendall(_frame(HEADERS, END_HEADERS, stream, b'\x88' + _literal(b'content-type', b'application/grpc')) +
                         (_frame(DATA, 0, stream, b'\0\0\0\0\2\x08' + bytes((self.server.state,))) if self.server.code == 0 else b'') +
                         _frame(HEADERS, END_HEADERS | END_STREAM, stream, trailers))


class HealthServer(socketserver.ThreadingTCPServer):
  """state: 1 SERVING, 2 NOT_SERVING; code: the gRPC status. `services`: what was asked for."""
  allow_reuse_address = daemon_threads = True

  def __init__(self):
    super().__init__(('127.0.0.1', 0), _Handler)
    self.state, self.code, self.services = 1, 0, []
    self.port = self.server_address[1]
    threading.Thread(target=self.serve_forever, daemon=True).start()
