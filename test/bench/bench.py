"""What the benchmarks share: a connection to the API, a table of results, and what machine and build they were read on."""
import base64
import glob
import http.client
import json
import os
import platform
import queue
import re
import socket
import ssl
import sys
import tempfile
import threading
import time


def now():
  return time.monotonic() * 1000


def percentile(values, share):
  return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def resident(pid):
  with open(f'/proc/{pid}/status', encoding='utf-8') as file:
    return int(re.search(r'VmRSS:\s+(\d+)', file.read()).group(1))


class Api:
  """One HTTPS connection as the administrator of a kubeconfig."""

  def __init__(self, port, kubeconfig):
    with open(kubeconfig, encoding='utf-8') as file:
      text = file.read()
    self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    self.ca = self.field(text, 'certificate-authority-data').decode()
    self.context.load_verify_locations(cadata=self.ca)
    with tempfile.NamedTemporaryFile() as pem:
      pem.write(self.field(text, 'client-certificate-data') + self.field(text, 'client-key-data'))
      pem.flush()
      self.context.load_cert_chain(pem.name)
    self.connection = http.client.HTTPSConnection('127.0.0.1', port, context=self.context, timeout=60)
    self.connection.connect()
    self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

  @staticmethod
  def field(text, name):
    return base64.b64decode(re.search(name + r': (\S+)', text).group(1))

  def call(self, method, path, body=None):
    self.connection.request(method, path, json.dumps(body) if body is not None else None, {'Content-Type': 'application/json'})
    response = self.connection.getresponse()
    data = response.read()
    if response.status >= 400:
      raise RuntimeError(f'{method} {path}: {response.status} {data.decode()[:300]}')
    return json.loads(data)

  def watch(self, path):
    """A queue of (milliseconds, type, object); the connection is used up."""
    self.connection.request('GET', path)
    response = self.connection.getresponse()
    events = queue.SimpleQueue()

    def read():
      try:
        for line in response:
          at = now()
          event = json.loads(line)
          events.put((at, event['type'], event['object']))
      except (OSError, ValueError, http.client.HTTPException):
        pass

    threading.Thread(target=read, daemon=True).start()
    return events


class Table:
  def __init__(self):
    self.rows = []

  def add(self, what, value, goal, remark):
    self.rows.append((what, value, goal, remark))
    print(f'  {what}: {value}', file=sys.stderr, flush=True)

  def note(self, text):
    self.rows.append((text,))

  def show(self):
    widths = [max(len(r[i]) for r in [*self.rows, ('', 'measured', 'goal', '')] if len(r) > 1) for i in range(4)]
    print(f'\n{"":{widths[0]}}  {"measured":>{widths[1]}}  {"goal":{widths[2]}}')
    for row in self.rows:
      if len(row) == 1:
        print('    ' + row[0])
      else:
        print(f'{row[0]:{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:{widths[2]}}  {row[3]}'.rstrip())


def machine():
  with open('/proc/cpuinfo', encoding='utf-8') as file:
    model = re.search(r'model name\s*: (.*)', file.read())
  memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2 ** 30
  return (f'{socket.gethostname()}: {os.cpu_count()} x {model.group(1) if model else platform.machine()}, {memory:.0f} GiB, '
          f'Linux {platform.release()}, load average {os.getloadavg()[0]:.2f}')


def build_kind(build):
  path = glob.glob(os.path.join(build, 'meson-info/intro-buildoptions.json'))
  if not path:
    return 'unknown build'
  with open(path[0], encoding='utf-8') as file:
    options = {o['name']: o['value'] for o in json.load(file)}
  sanitized = '' if options['b_sanitize'] in ('none', []) else ', sanitized'
  return f'{options["buildtype"]} build{sanitized}'
