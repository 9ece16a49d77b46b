"""Image registries on loopback: Debian's docker-registry, and one made of Python that misbehaves as told."""
import base64
import crypt
import gzip
import hashlib
import http.server
import io
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tarfile
import tempfile
import threading
import time
import urllib.parse
import urllib.request

OCI = 'application/vnd.oci.image.'
DOCKER = 'application/vnd.docker.distribution.manifest.'


def free_port():
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    return s.getsockname()[1]


def digest(data):
  return 'sha256:' + hashlib.sha256(data).hexdigest()


def tar(*entries, pax=True):
  """A tar of (path, {attributes of TarInfo, data=...}) or of (path, bytes)."""
  out = io.BytesIO()
  with tarfile.open(fileobj=out, mode='w', format=tarfile.PAX_FORMAT if pax else tarfile.USTAR_FORMAT) as archive:
    for path, what in entries:
      info = tarfile.TarInfo(path)
      attributes = {'data': what} if isinstance(what, bytes) else dict(what)
      data = attributes.pop('data', b'')
      info.size, info.mode = len(data), 0o644
      if attributes.get('type') == tarfile.DIRTYPE:
        info.mode = 0o755
      for name, value in attributes.items():
        setattr(info, name, value)
      archive.addfile(info, io.BytesIO(data) if data else None)
  return out.getvalue()


def directory(**attributes):
  return {'type': tarfile.DIRTYPE, **attributes}


def link(target, **attributes):
  return {'type': tarfile.SYMTYPE, 'linkname': target, **attributes}


def hard_link(target, **attributes):
  return {'type': tarfile.LNKTYPE, 'linkname': target, **attributes}


class Image:
  """One image: plain layer tars (lowest first), each stored compressed as `compress` makes it."""

  def __init__(self, *layers, compress=gzip.compress, config=None, docker=False, os_name='linux', architecture='amd64', diff_ids=None):
    self.blobs = {}
    self.diff_ids = diff_ids or [digest(layer) for layer in layers]
    self.config = json.dumps({'os': os_name, 'architecture': architecture, 'config': config or {'Cmd': ['sh']},
                              'rootfs': {'type': 'layers', 'diff_ids': self.diff_ids}}).encode()
    self.layers = [compress(layer) for layer in layers]
    for blob in [self.config, *self.layers]:
      self.blobs[digest(blob)] = blob
    config_type = 'application/vnd.docker.container.image.v1+json' if docker else OCI + 'config.v1+json'
    layer_type = 'application/vnd.docker.image.rootfs.diff.tar.gzip' if docker else OCI + 'layer.v1.tar+gzip'
    self.media_type = DOCKER + 'v2+json' if docker else OCI + 'manifest.v1+json'
    self.manifest = json.dumps({
        'schemaVersion': 2, 'mediaType': self.media_type,
        'config': {'mediaType': config_type, 'digest': digest(self.config), 'size': len(self.config)},
        'layers': [{'mediaType': layer_type, 'digest': digest(b), 'size': len(b)} for b in self.layers]}).encode()
    self.id, self.digest = digest(self.config), digest(self.manifest)

  def descriptor(self, **more):
    return {'mediaType': self.media_type, 'digest': self.digest, 'size': len(self.manifest), **more}

  def write_layout(self, folder, name=None):
    """An OCI layout in a directory."""
    os.makedirs(os.path.join(folder, 'blobs/sha256'))
    for data in [*self.blobs.values(), self.manifest]:
      with open(os.path.join(folder, 'blobs/sha256', digest(data)[7:]), 'wb') as file:
        file.write(data)
    annotations = {'org.opencontainers.image.ref.name': name} if name else {}
    with open(os.path.join(folder, 'index.json'), 'w', encoding='utf-8') as file:
      json.dump({'schemaVersion': 2, 'manifests': [self.descriptor(annotations=annotations)]}, file)
    with open(os.path.join(folder, 'oci-layout'), 'w', encoding='utf-8') as file:
      file.write('{"imageLayoutVersion":"1.0.0"}')


def docker_save(name, config, *layers, last=()):
  """A tar as `docker save` writes it; `layers` are plain tars or a path in the archive for a link to that one."""
  entries, paths = [], []
  for number, layer in enumerate(layers):
    path = f'{number:064x}/layer.tar'
    entries.append((path, link('../' + layer) if isinstance(layer, str) else layer))
    paths.append(path)
  entries.append((digest(config)[7:] + '.json', config))
  manifest = [{'Config': digest(config)[7:] + '.json', 'RepoTags': [name] if name else None, 'Layers': paths}]
  entries.append(('manifest.json', json.dumps(manifest).encode()))
  return tar(*entries, *last)


class FakeRegistry:
  """Serves images from memory. `hook(handler, method, path)` may answer first: it returns True when it did."""

  def __init__(self, tls=None):
    self.manifests, self.blobs, self.requests = {}, {}, []
    self.hook = lambda handler, method, path: False
    registry = self

    class Handler(http.server.BaseHTTPRequestHandler):
      protocol_version = 'HTTP/1.1'

      def log_message(self, *args):
        pass

      def answer(self, code, data=b'', media_type='application/json', **headers):
        self.send_response(code)
        self.send_header('Content-Type', media_type)
        self.send_header('Content-Length', str(len(data)))
        for name, value in headers.items():
          self.send_header(name.replace('_', '-'), value)
        self.end_headers()
        if self.command != 'HEAD':
          self.wfile.write(data)

      def refuse(self, code, name, message, **headers):
        self.answer(code, json.dumps({'errors': [{'code': name, 'message': message}]}).encode(), **headers)

      def handle_any(self):
        path = urllib.parse.urlsplit(self.path).path
        registry.requests.append((self.command, self.path, dict(self.headers)))
        try:
          if registry.hook(self, self.command, path):
            return
          parts = path.split('/')
          if len(parts) > 4 and parts[-2] == 'manifests':
            found = registry.manifests.get(('/'.join(parts[2:-2]), parts[-1]))
            if found:
              self.answer(200, found[1], found[0], Docker_Content_Digest=digest(found[1]))
            else:
              self.refuse(404, 'MANIFEST_UNKNOWN', 'manifest unknown')
          elif len(parts) > 4 and parts[-2] == 'blobs' and parts[-1] in registry.blobs:
            self.answer(200, registry.blobs[parts[-1]], 'application/octet-stream')
          else:
            self.refuse(404, 'BLOB_UNKNOWN', 'blob unknown to registry')
        except (BrokenPipeError, ConnectionResetError):
          self.close_connection = True

      do_GET = do_HEAD = handle_any

      def do_POST(self):
        self.body = self.rfile.read(int(self.headers.get('Content-Length', 0))).decode()
        self.handle_any()

    class Server(http.server.ThreadingHTTPServer):
      daemon_threads = True

      def handle_error(self, request, client_address):
        pass

    self.server = Server(('127.0.0.1', 0), Handler)
    if tls:
      context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
      context.load_cert_chain(*tls)
      self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
    self.port = self.server.server_address[1]
    self.host = f'127.0.0.1:{self.port}'
    self.url = ('https://' if tls else 'http://') + self.host
    self.thread = threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True)
    self.thread.start()

  def add(self, repository, tag, image):
    self.blobs.update(image.blobs)
    for name in (tag, image.digest):
      self.manifests[(repository, name)] = (image.media_type, image.manifest)

  def add_index(self, repository, tag, *descriptors, media_type=OCI + 'index.v1+json'):
    data = json.dumps({'schemaVersion': 2, 'mediaType': media_type, 'manifests': list(descriptors)}).encode()
    for name in (tag, digest(data)):
      self.manifests[(repository, name)] = (media_type, data)
    return digest(data)

  def paths(self, method='GET'):
    return [path for m, path, _ in self.requests if m == method]

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.server.shutdown()
    self.server.server_close()


class DockerRegistry:
  """Debian's docker-registry."""

  def __init__(self, user=None, password=None, tls=None):
    self.folder = tempfile.mkdtemp(prefix='seapod-registry-')
    self.user, self.password, self.tls = user, password, tls
    self.port = free_port()
    self.host = f'127.0.0.1:{self.port}'
    self.url = ('https://' if tls else 'http://') + self.host
    config = ['version: 0.1', 'log:', '  level: error', 'storage:', '  filesystem:', f'    rootdirectory: {self.folder}/data', 'http:',
              f'  addr: {self.host}']
    if tls:
      config += ['  tls:', f'    certificate: {tls[0]}', f'    key: {tls[1]}']
    if user:
      with open(f'{self.folder}/htpasswd', 'w', encoding='utf-8') as file:
        file.write(f'{user}:{crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))}\n')
      config += ['auth:', '  htpasswd:', '    realm: test', f'    path: {self.folder}/htpasswd']
    with open(f'{self.folder}/config.yml', 'w', encoding='utf-8') as file:
      file.write('\n'.join(config) + '\n')
    with open(f'{self.folder}/log', 'wb') as log:
      self.process = subprocess.Popen(['docker-registry', 'serve', f'{self.folder}/config.yml'], stdout=log, stderr=log)
    self._wait()

  def _wait(self):
    for _ in range(200):
      try:
        with socket.create_connection(('127.0.0.1', self.port), 1):
          return
      except OSError:
        time.sleep(0.05)
    raise AssertionError('docker-registry does not start:\n' + open(f'{self.folder}/log', encoding='utf-8').read())

  def copy(self, source, name):
    """Fills it with skopeo: copy('oci:DIR:TAG', 'library/busybox:1.36')."""
    command = ['skopeo', 'copy', '-q', '--dest-tls-verify=false']
    if self.user:
      command += ['--dest-creds', f'{self.user}:{self.password}']
    subprocess.run([*command, source, f'docker://{self.host}/{name}'], check=True, capture_output=True)

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.process.send_signal(signal.SIGTERM)
    self.process.wait(10)
    shutil.rmtree(self.folder)


def certificate(folder):
  """An authority and a certificate of it for 127.0.0.1: (authority, certificate, key)."""
  authority, key, request, cert = (os.path.join(folder, n) for n in ('ca.pem', 'tls.key', 'tls.csr', 'tls.pem'))
  run = lambda *words: subprocess.run(['openssl', *words], check=True, capture_output=True)
  run('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=test authority', '-days', '2',
      '-keyout', authority + '.key', '-out', authority)
  run('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=127.0.0.1', '-keyout', key, '-out', request)
  with open(request + '.ext', 'w', encoding='utf-8') as file:
    file.write('subjectAltName=IP:127.0.0.1\n')
  run('x509', '-req', '-in', request, '-CA', authority, '-CAkey', authority + '.key', '-CAcreateserial', '-days', '2', '-extfile',
      request + '.ext', '-out', cert)
  return authority, cert, key


def credentials_file(folder, **auths):
  """A Docker config.json: credentials_file(DIR, **{'127.0.0.1:5000': ('user', 'password')})."""
  path = os.path.join(folder, f'config-{len(os.listdir(folder))}.json')
  with open(path, 'w', encoding='utf-8') as file:
    json.dump({'auths': {host: {'auth': base64.b64encode(':'.join(pair).encode()).decode()} for host, pair in auths.items()}}, file)
  return path


def busybox_layout(folder):
  """An OCI layout FOLDER:latest that umoci makes of busybox-static."""
  busybox = shutil.which('busybox')
  run = lambda *words: subprocess.run(['umoci', *words], check=True, capture_output=True)
  run('init', '--layout', folder)
  run('new', '--image', folder + ':latest')
  bundle = folder + '-bundle'
  run('unpack', '--image', folder + ':latest', bundle)
  os.makedirs(bundle + '/rootfs/bin')
  shutil.copy(busybox, bundle + '/rootfs/bin/busybox')
  os.symlink('busybox', bundle + '/rootfs/bin/sh')
  run('repack', '--image', folder + ':latest', bundle)
  run('config', '--image', folder + ':latest', '--config.cmd', '/bin/sh', '--config.env', 'PATH=/bin', '--config.exposedports', '80/tcp')
  shutil.rmtree(bundle)
  return f'oci:{folder}:latest'
