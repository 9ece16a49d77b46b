"""A DNS client and an upstream server, as small as tests need them."""
import random
import socket
import struct
import threading

TYPES = {1: 'A', 2: 'NS', 5: 'CNAME', 6: 'SOA', 12: 'PTR', 16: 'TXT', 28: 'AAAA', 33: 'SRV', 41: 'OPT'}
NUMBERS = {name: number for number, name in TYPES.items()}


def encode(name):
  return b''.join(bytes([len(label)]) + label.encode() for label in name.split('.') if label) + b'\0'


def decode(packet, at):
  labels, end = [], None
  while True:
    n = packet[at]
    if n >= 192:
      end = end or at + 2
      at = (n & 63) << 8 | packet[at + 1]
    elif n == 0:
      return '.'.join(labels), end or at + 1
    else:
      labels.append(packet[at + 1:at + 1 + n].decode())
      at += 1 + n


def data_of(packet, at, kind, length):
  data = packet[at:at + length]
  if kind == 'A':
    return socket.inet_ntoa(data)
  if kind in ('NS', 'CNAME', 'PTR', 'SOA'):
    return decode(packet, at)[0]
  if kind == 'SRV':
    return (*struct.unpack('>3H', data[:6]), decode(packet, at + 6)[0])
  return data[1:].decode() if kind == 'TXT' else data.hex()


class Answer:
  """code, authoritative, truncated, and answers, authority, additional as (name, type, data)."""

  def __init__(self, packet):
    self.id, flags, questions, *counts = struct.unpack('>6H', packet[:12])
    self.code, self.authoritative, self.truncated = flags & 15, bool(flags & 0x400), bool(flags & 0x200)
    at, sections, self.edns, self.ttl = 12, [], False, {}
    for _ in range(questions):
      at = decode(packet, at)[1] + 4
    for count in counts:
      records = []
      for _ in range(count):
        name, at = decode(packet, at)
        number, _, ttl, length = struct.unpack('>HHIH', packet[at:at + 10])
        at += 10
        kind = TYPES.get(number, number)
        if kind == 'OPT':
          self.edns = True
        else:
          records.append((name, kind, data_of(packet, at, kind, length)))
          self.ttl[name] = ttl
        at += length
      sections.append(records)
    assert at == len(packet), (at, len(packet))
    self.answers, self.authority, self.additional = sections

  def data(self):
    return sorted(record[2] for record in self.answers)


def question(name, kind='A', edns=True, size=1232):
  packet = struct.pack('>6H', random.randrange(65536), 0x100, 1, 0, 0, int(edns)) + encode(name) + struct.pack('>2H', NUMBERS[kind], 1)
  return packet + (b'\0' + struct.pack('>HHIH', 41, size, 0, 0) if edns else b'')


def ask(server, name, kind='A', tcp=False, edns=True, size=1232, port=53):
  packet = question(name, kind, edns, size)
  if tcp:
    with socket.create_connection((server, port), 5) as s:
      s.sendall(struct.pack('>H', len(packet)) + packet)
      file = s.makefile('rb')
      answer = Answer(file.read(struct.unpack('>H', file.read(2))[0]))
  else:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
      s.settimeout(5)
      s.connect((server, port))
      s.send(packet)
      answer = Answer(s.recv(65535))
  assert answer.id == struct.unpack('>H', packet[:2])[0]
  return answer


class Upstream:
  """Answers from `zone`: name -> (code, [(type, data)]); counts what it was asked. "big" names have 200 addresses."""

  def __init__(self, zone):
    self.zone, self.asked = zone, []
    self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    self.udp.bind(('127.0.0.1', 0))
    self.port = self.udp.getsockname()[1]
    self.tcp = socket.create_server(('127.0.0.1', self.port))
    for loop in (self.serve_udp, self.serve_tcp):
      threading.Thread(target=loop, daemon=True).start()

  def answer(self, packet, limit):
    name, at = decode(packet, 12)
    kind = TYPES.get(struct.unpack('>H', packet[at:at + 2])[0])
    self.asked.append((name, kind))
    code, records = self.zone.get(name, (3, []))
    body = b''
    records = [r for r in records if r[0] in (kind, 'CNAME')]
    for record_kind, data in records:
      data = socket.inet_aton(data) if record_kind == 'A' else encode(data)
      body += b'\xc0\x0c' + struct.pack('>HHIH', NUMBERS[record_kind], 1, 60, len(data)) + data
    flags, count = 0x8180 | code, len(records)
    if len(body) > limit:
      flags, count, body = flags | 0x200, 0, b''
    return packet[:2] + struct.pack('>5H', flags, 1, count, 0, 0) + packet[12:at + 4] + body

  def serve_udp(self):
    while True:
      packet, source = self.udp.recvfrom(4096)
      self.udp.sendto(self.answer(packet, 1000), source)

  def serve_tcp(self):
    while True:
      connection, _ = self.tcp.accept()
      with connection:
        file = connection.makefile('rb')
        packet = file.read(struct.unpack('>H', file.read(2))[0])
        answer = self.answer(packet, 60000)
        connection.sendall(struct.pack('>H', len(answer)) + answer)
