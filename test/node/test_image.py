"""seapod-image: registries, archives, what is unpacked and what is refused. Runs the real program as root; no cluster."""
import contextlib
import gzip
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import threading
import time

from harness.cluster import BUILD, Failed, Result, wait_for
from harness.registry import (DOCKER, OCI, DockerRegistry, FakeRegistry, Image, busybox_layout, certificate, credentials_file, digest, directory,
                              docker_save, hard_link, link, tar)

PROGRAM = os.path.join(BUILD, 'seapod-image')
OK, OTHER, USAGE, NOT_FOUND, DENIED, NETWORK, BAD_DATA = 0, 1, 2, 3, 4, 5, 6
SPLIT = False  # nothing here differs when the node is another process
CONFIG = json.dumps({'os': 'linux', 'architecture': 'amd64', 'config': {'Cmd': ['sh']}, 'rootfs': {'type': 'layers', 'diff_ids': []}})


class Store:
  """A data directory of its own. Checks at the end that nothing was left in tmp/, nor a mount or process."""

  def __init__(self):
    self.folder = tempfile.mkdtemp(prefix='seapod-image-')
    self.data = os.path.join(self.folder, 'data')
    self.store = os.path.join(self.data, 'images-store')

  def __enter__(self):
    return self

  def __exit__(self, kind, *_):
    try:
      if kind is None:
        assert self.folder not in open('/proc/self/mounts', encoding='utf-8').read()
        assert not stages(self.data), stages(self.data)
    finally:
      shutil.rmtree(self.folder)

  def command(self, *words):
    return [PROGRAM, words[0], '--data-dir', self.data, *words[1:]]

  def __call__(self, *words, stdin=None):
    return Result(subprocess.run(self.command(*words), capture_output=True, text=stdin is None, input=stdin, check=False))

  def events(self, *words):
    return [json.loads(line) for line in self(*words, '--json').ok().splitlines()]

  def image(self, *words):
    return [e for e in self.events(*words) if e['type'] == 'image'][-1]

  def write(self, name, data):
    path = os.path.join(self.folder, name)
    with open(path, 'wb') as file:
      file.write(data)
    return path

  def names(self):
    return sorted(n for i in self.events('list') for n in i['repoTags'] + i['repoDigests'])

  def layers(self):
    return sorted(os.listdir(os.path.join(self.store, 'layers')))

  def tree(self, layer):
    return os.path.join(self.store, 'layers', layer.removeprefix('sha256:'), 'fs')

  def rootfs(self, data, *words, name='test'):
    """Imports a tar as an image of one layer and returns the layer's tree."""
    return self.tree(self.image('import', '--rootfs', '--name', name, *words, self.write('layer.tar', data))['diffIds'][0])

  def is_empty(self):
    kept = {k: os.listdir(os.path.join(self.store, k)) for k in ('layers', 'images', 'summaries', 'blobs/sha256', 'pins', 'tmp')}
    if any(kept.values()):
      print(kept)
    return not any(kept.values())


def stages(data):
  """Processes of ours that still run."""
  found = []
  for pid in filter(str.isdigit, os.listdir('/proc')):
    with contextlib.suppress(OSError):
      words = open(f'/proc/{pid}/cmdline', 'rb').read().split(b'\0')
      if data.encode() in words:
        found.append(words)
  return found


def fails(result, code, *texts):
  result.fails(*texts)
  assert result.code == code, f'exit code {result.code}, not {code}: {result.err}'
  return result.err


BUSYBOX = tar(('bin', directory()), ('bin/busybox', {'data': b'#!', 'mode': 0o755}), ('bin/sh', link('busybox')))


# Registries

def test_pull_from_docker_registry_by_tag_digest_and_mirror():
  with Store() as store, DockerRegistry() as registry:
    layout = busybox_layout(os.path.join(store.folder, 'layout'))
    registry.copy(layout, 'library/busybox:1.36')
    mirror = ('--mirror', f'docker.io={registry.url}')
    events = store.events('pull', *mirror, 'busybox:1.36')
    assert events[0]['type'] == 'resolved' and events[0]['reference'] == 'docker.io/library/busybox:1.36'
    assert {e['state'] for e in events if e['type'] == 'layer'} >= {'downloading', 'unpacking', 'done'}
    image = events[-1]
    assert image['repoTags'] == ['docker.io/library/busybox:1.36']
    assert image['repoDigests'] == ['docker.io/library/busybox@' + events[0]['digest']]
    assert (image['cmd'], image['env'], image['exposedPorts']) == (['/bin/sh'], ['PATH=/bin'], ['80/tcp'])
    tree = store.tree(image['diffIds'][0])
    assert os.readlink(tree + '/bin/sh') == 'busybox'
    assert subprocess.run([tree + '/bin/busybox', 'echo', 'hi'], capture_output=True, check=True).stdout == b'hi\n'
    # Plain HTTP to this machine needs no option.
    direct = store.image('pull', f'{registry.host}/library/busybox@{events[0]["digest"]}')
    assert direct['id'] == image['id'] and direct['repoTags'] == []
    assert direct['repoDigests'] == [f'{registry.host}/library/busybox@{events[0]["digest"]}']
    assert len(store.layers()) == 1
    both = store.image('pull', f'{registry.host}/library/busybox:9@{events[0]["digest"]}')
    assert both['repoTags'] == [], 'with a digest the tag counts for nothing'
    assert store('list', '-q').ok() == image['id'] + '\n'


def test_missing_tag_and_repository():
  with Store() as store, DockerRegistry() as registry:
    registry.copy(busybox_layout(os.path.join(store.folder, 'layout')), 'library/busybox:1.36')
    mirror = ('--mirror', f'docker.io={registry.url}')
    name = 'docker.io/library/busybox:nope'
    message = fails(store('pull', *mirror, 'busybox:nope'), NOT_FOUND)
    assert message.splitlines()[-1].startswith(
        f'failed to pull and unpack image "{name}": failed to resolve reference "{name}": {name}: not found')
    assert 'manifest unknown' in message, 'the registry speaks for itself'
    fails(store('pull', *mirror, 'nope:1'), NOT_FOUND, 'docker.io/library/nope:1: not found')
    missing = digest(b'')
    fails(store('pull', f'{registry.host}/library/busybox@{missing}'), NOT_FOUND, f'{missing}: not found')
    events = store('pull', '--json', *mirror, 'busybox:nope')
    assert json.loads(events.out.splitlines()[-1])['reason'] == 'not found'
    assert store.is_empty()


def test_unreachable_registry():
  with Store() as store:
    message = fails(store('pull', '127.0.0.1:1/a/b:1'), NETWORK, 'connect: connection refused')
    assert 'failed to do request: Get "https://127.0.0.1:1/v2/a/b/manifests/1": dial tcp 127.0.0.1:1' in message
    fails(store('pull', 'registry.invalid/x:1'), NETWORK, 'lookup registry.invalid: no such host')
    # A mirror that is down does not hide the answer of the next.
    with FakeRegistry() as registry:
      registry.add('library/x', '1', Image(BUSYBOX))
      mirrors = ('--mirror', 'docker.io=http://127.0.0.1:1', '--mirror', f'docker.io={registry.url}')
      store('pull', *mirrors, 'x:1').ok()
      fails(store('pull', *mirrors, 'x:2'), NOT_FOUND, 'docker.io/library/x:2: not found')
      assert registry.paths()[0] == '/v2/library/x/manifests/1?ns=docker.io'


def test_bad_names():
  with Store() as store:
    fails(store('pull', 'Busybox'), USAGE,
          'couldn\'t parse image name "Busybox": invalid reference format: repository name (library/Busybox) must be lowercase')
    fails(store('pull', 'a b'), USAGE, 'couldn\'t parse image name "a b": invalid reference format')
    fails(store('pull'), USAGE)
    fails(store('fetch', 'x'), USAGE, 'unknown verb')
    fails(store('pull', '--mirror', 'docker.io', 'x'), USAGE, 'not a mirror')
    fails(store('rm', 'nope'), NOT_FOUND, 'no such image: nope')


def test_basic_authentication():
  with Store() as store, DockerRegistry(user='ann', password='se:cret') as registry:
    registry.copy(busybox_layout(os.path.join(store.folder, 'layout')), 'team/app:1')
    name = f'{registry.host}/team/app:1'
    message = fails(store('pull', name), DENIED, 'pull access denied, repository does not exist or may require authorization')
    assert 'no basic auth credentials' in message
    wrong = credentials_file(store.folder, **{registry.host: ('ann', 'wrong')})
    fails(store('pull', '--creds-file', wrong, name), DENIED, 'pull access denied')
    elsewhere = credentials_file(store.folder, **{'registry.example': ('ann', 'se:cret'), f'{registry.host}/other': ('ann', 'se:cret')})
    fails(store('pull', '--creds-file', elsewhere, name), DENIED)
    right = credentials_file(store.folder, **{f'http://{registry.host}/v1/': ('ann', 'se:cret')})
    # Several that fit are tried one after the other, as a kubelet does.
    store('pull', '--creds-file', wrong, '--creds-file', right, name).ok()
    glob = credentials_file(store.folder, **{f'127.*.0.*:{registry.port}': ('ann', 'se:cret')})
    store('pull', '--creds-file', glob, name).ok()
    fails(store('pull', '--creds-file', store.write('bad.json', b'[]'), name), USAGE, 'not a Docker config.json')
    fails(store('pull', '--creds-file', '/nonexistent', name), OTHER, '/nonexistent')


class TokenServer:
  """A hook: tokens by basic authentication or refresh token, each good for `uses` requests."""

  def __init__(self, registry, uses=1000, service='test service'):
    self.registry, self.uses, self.asked, self.service = registry, uses, [], service
    self.left = 0
    registry.hook = self

  def __call__(self, handler, method, path):
    if path == '/token':
      body = getattr(handler, 'body', '')
      self.asked.append((handler.path, handler.headers.get('Authorization'), body))
      if handler.headers.get('Authorization') != 'Basic YW5uOnNlY3JldA==' and 'refresh_token=refresh%2Fme' not in body:
        handler.answer(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}')
        return True
      self.left = self.uses
      handler.answer(200, json.dumps({'access_token' if body else 'token': f'token-{len(self.asked)}'}).encode())
      return True
    good = handler.headers.get('Authorization') == f'Bearer token-{len(self.asked)}' and self.left > 0
    if good:
      self.left -= 1
      return False
    scope = 'repository:' + '/'.join(path.split('/')[2:-2]) + ':pull'
    handler.refuse(401, 'UNAUTHORIZED', 'authentication required',
                   WWW_Authenticate=f'Bearer realm="{self.registry.url}/token",service="{self.service}",scope="{scope}",error="insufficient_scope"')
    return True


def test_token_authentication():
  with Store() as store, FakeRegistry() as registry:
    tokens = TokenServer(registry)
    registry.add('team/app', '1', Image(BUSYBOX))
    name = f'{registry.host}/team/app:1'
    message = fails(store('pull', name), DENIED, 'pull access denied, repository does not exist or may require authorization')
    assert 'failed to fetch anonymous token' in message and 'authentication required' in message
    right = credentials_file(store.folder, **{registry.host: ('ann', 'secret')})
    tokens.asked.clear()
    store('pull', '--creds-file', right, name).ok()
    assert [a[0] for a in tokens.asked] == ['/token?service=test%20service&scope=repository%3Ateam%2Fapp%3Apull'], 'one token for all'


def test_tokens_that_expire_are_renewed():
  with Store() as store, FakeRegistry() as registry:
    TokenServer(registry, uses=2)
    layers = [tar((f'file-{n}', b'x')) for n in range(6)]
    registry.add('team/app', '1', Image(*layers))
    right = credentials_file(store.folder, **{registry.host: ('ann', 'secret')})
    image = store.image('pull', '--creds-file', right, f'{registry.host}/team/app:1')
    assert len(image['layers']) == 6


def test_identity_token():
  with Store() as store, FakeRegistry() as registry:
    tokens = TokenServer(registry)
    registry.add('team/app', '1', Image(BUSYBOX))
    path = store.write('config.json', json.dumps({'auths': {registry.host: {'identitytoken': 'refresh/me'}}}).encode())
    store('pull', '--creds-file', path, f'{registry.host}/team/app:1').ok()
    assert 'grant_type=refresh_token' in tokens.asked[0][2] and 'scope=repository%3Ateam%2Fapp%3Apull' in tokens.asked[0][2]


def test_credentials_do_not_follow_a_redirect_to_another_host():
  with Store() as store, FakeRegistry() as registry, FakeRegistry() as storage:
    TokenServer(registry)
    image = Image(BUSYBOX)
    registry.add('team/app', '1', image)
    storage.blobs.update(image.blobs)
    tokens = registry.hook

    def redirect(handler, method, path):
      if tokens(handler, method, path):
        return True
      if '/blobs/' in path:
        handler.answer(307, Location=f'{storage.url}{path}?signature=1')
        return True
      return False
    registry.hook = redirect
    right = credentials_file(store.folder, **{registry.host: ('ann', 'secret'), storage.host: ('ann', 'secret')})
    store('pull', '--creds-file', right, f'{registry.host}/team/app:1').ok()
    assert len(storage.requests) == 2 and all('signature=1' in path for _, path, _ in storage.requests)
    assert not any('Authorization' in headers for _, _, headers in storage.requests)
    assert any('Authorization' in headers for _, path, headers in registry.requests if '/blobs/' in path)


def test_tls_with_an_authority_of_ones_own():
  with Store() as store:
    authority, *pair = certificate(store.folder)
    with DockerRegistry(tls=pair) as registry:
      registry.copy(busybox_layout(os.path.join(store.folder, 'layout')), 'team/app:1')
      name = f'{registry.host}/team/app:1'
      fails(store('pull', name), NETWORK, 'failed to verify certificate')
      fails(store('pull', '--ca-file', f'other.example={authority}', name), NETWORK, 'failed to verify certificate')
      store('pull', '--ca-file', f'{registry.host}={authority}', name).ok()
      store('rm', name).ok()
      store('pull', '--ca-file', authority, '--mirror', f'quay.io={registry.url}', 'quay.io/team/app:1').ok()


def test_tls_is_not_left_for_plain_http():
  with Store() as store:
    authority, *pair = certificate(store.folder)
    with FakeRegistry(tls=pair) as registry, FakeRegistry() as plain:
      image = Image(BUSYBOX)
      registry.add('team/app', '1', image)
      plain.blobs.update(image.blobs)

      def redirect(handler, method, path):
        if '/blobs/' in path:
          handler.answer(307, Location=plain.url + path)
          return True
        return False
      registry.hook = redirect
      fails(store('pull', '--ca-file', authority, f'{registry.host}/team/app:1'), NETWORK)
      # Nor is a token server without TLS given a password.
      registry.hook = TokenServer(plain)
      right = credentials_file(store.folder, **{registry.host: ('ann', 'secret')})
      fails(store('pull', '--ca-file', authority, '--creds-file', right, f'{registry.host}/team/app:1'), DENIED, 'no usable token server')
      assert plain.requests == []


def test_index_by_platform():
  for media_type in (OCI + 'index.v1+json', DOCKER + 'list.v2+json'):
    with Store() as store, FakeRegistry() as registry:
      amd64, arm64 = Image(BUSYBOX, docker=True), Image(tar(('arm', b'')), architecture='arm64')
      for image in (amd64, arm64):
        registry.add('a/b', image.digest, image)
      index = registry.add_index('a/b', '1', Image(tar()).descriptor(platform={'os': 'unknown', 'architecture': 'unknown'}),
                                 arm64.descriptor(platform={'os': 'linux', 'architecture': 'arm64', 'variant': 'v8'}),
                                 amd64.descriptor(platform={'os': 'linux', 'architecture': 'amd64'}), media_type=media_type)
      image = store.image('pull', '--platform', 'linux/amd64', f'{registry.host}/a/b:1')
      assert (image['id'], image['manifest']) == (amd64.id, amd64.digest)
      assert image['repoDigests'] == [f'{registry.host}/a/b@{index}'], 'what the tag stands for'
      by_manifest = store.image('pull', f'{registry.host}/a/b@{amd64.digest}')
      assert by_manifest['id'] == amd64.id
      assert store.image('pull', '--platform', 'arm64', f'{registry.host}/a/b:1')['id'] == arm64.id
      fails(store('pull', '--platform', 'linux/s390x', f'{registry.host}/a/b:1'), NOT_FOUND, 'no match for platform in manifest')


def test_compressions():
  zstd = lambda data: subprocess.run(['zstd', '-q', '-c'], input=data, capture_output=True, check=True).stdout
  members = lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:])
  for compress in (gzip.compress, zstd, bytes, members, lambda data: zstd(data[:700]) + zstd(data[700:])):
    with Store() as store, FakeRegistry() as registry:
      image = Image(BUSYBOX, tar(('big', os.urandom(3 << 20))), compress=compress)
      registry.add('a/b', '1', image)
      assert store.image('pull', f'{registry.host}/a/b:1')['diffIds'] == image.diff_ids
      assert os.path.getsize(store.tree(image.diff_ids[1]) + '/big') == 3 << 20
      size = sum(map(len, [image.manifest, image.config, *image.layers]))
      assert store.events('list')[0]['size'] == size


def test_current_image_costs_one_small_question():
  with Store() as store, FakeRegistry() as registry:
    registry.add('a/b', '1', Image(BUSYBOX))
    store('pull', f'{registry.host}/a/b:1').ok()
    registry.requests.clear()
    events = store.events('pull', f'{registry.host}/a/b:1')
    assert [e['type'] for e in events] == ['resolved', 'image']
    assert registry.paths('GET') == [] and len(registry.paths('HEAD')) == 1
    # The tag moves.
    moved = Image(BUSYBOX, tar(('new', b'')))
    registry.add('a/b', '1', moved)
    image = store.image('pull', f'{registry.host}/a/b:1')
    assert image['id'] == moved.id
    listed = {i['id']: i for i in store.events('list')}
    assert len(listed) == 2 and listed[moved.id]['repoTags'] == [f'{registry.host}/a/b:1']


# What a registry may not get away with

def _tampered(path, change):
  """Serves what `change` makes of the answer for `path`."""
  def hook(handler, method, at):
    if not at.endswith(path):
      return False
    registry_answer = handler.answer
    handler.answer = lambda code, data=b'', *more, **headers: registry_answer(code, change(data), *more, **headers)
    return False
  return hook


def test_digest_mismatches():
  with Store() as store, FakeRegistry() as registry:
    image = Image(BUSYBOX)
    registry.add('a/b', '1', image)
    name = f'{registry.host}/a/b'
    flip = lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
    for what, tamper, texts in [
        ('manifest', (image.digest, lambda data: data + b' '), ['unexpected commit digest', 'expected ' + image.digest]),
        ('config', (digest(image.config), lambda data: data + b' '), ['unexpected commit digest', 'expected ' + image.id]),
        ('layer, longer', (digest(image.layers[0]), lambda data: data + b'\0'), ['larger than the']),
        ('layer, shorter', (digest(image.layers[0]), lambda data: data[:-20]), ['gzip data ends too early']),
        ('layer, changed', (digest(image.layers[0]), flip), []),
        ('layer, another', (digest(image.layers[0]), lambda data: gzip.compress(tar(('x', b'')))), ['unexpected commit digest']),
    ]:
      registry.hook = _tampered(*tamper)
      reference = f'{name}@{image.digest}' if what == 'manifest' else f'{name}:1'
      fails(store('pull', reference), BAD_DATA, *texts)
      assert store.is_empty(), what
    registry.hook = lambda *_: False
    store('pull', f'{name}:1').ok()


def test_wrong_diff_id():
  with Store() as store, FakeRegistry() as registry:
    registry.add('a/b', '1', Image(BUSYBOX, diff_ids=[digest(b'something else')]))
    fails(store('pull', f'{registry.host}/a/b:1'), BAD_DATA, 'wrong diff id calculated on extraction "' + digest(BUSYBOX) + '"')
    registry.add('a/b', '2', Image(BUSYBOX, diff_ids=[digest(BUSYBOX), digest(BUSYBOX)]))
    fails(store('pull', f'{registry.host}/a/b:2'), BAD_DATA, 'mismatched image rootfs and manifest layers')
    assert store.is_empty()


def test_bad_documents():
  with Store() as store, FakeRegistry() as registry:
    image = Image(BUSYBOX)
    for tag, document, text in [
        ('json', b'{', 'not valid JSON'),
        ('kind', b'{"schemaVersion":2}', 'neither an image manifest nor an index'),
        ('both', b'{"schemaVersion":2,"manifests":[],"config":{},"layers":[]}', 'both a manifest and an index'),
        ('schema1', b'{"schemaVersion":1,"fsLayers":[]}', 'schema 1'),
        ('digest', b'{"config":{"digest":"sha256:../../x"},"layers":[]}', 'bad digest'),
        ('sha512', json.dumps({'config': {'digest': 'sha512:' + 'a' * 128}, 'layers': []}).encode(), 'unsupported digest algorithm'),
        ('many', json.dumps({'config': image.descriptor(), 'layers': [image.descriptor()] * 257}).encode(), 'more than 256'),
        ('large', b' ' * (4 << 20) + b'{}', 'larger than 4194304 bytes'),
    ]:
      registry.manifests[('a/b', tag)] = (OCI + 'manifest.v1+json', document)
      fails(store('pull', f'{registry.host}/a/b:{tag}'), BAD_DATA, text)
    chart = json.dumps({'config': {'digest': digest(b'{}'), 'size': 2}, 'layers': []}).encode()
    registry.manifests[('a/b', 'chart')] = (OCI + 'manifest.v1+json', chart)
    registry.blobs[digest(b'{}')] = b'{}'
    fails(store('pull', f'{registry.host}/a/b:chart'), BAD_DATA, 'not a container image')


def test_a_server_in_trouble():
  with Store() as store, FakeRegistry() as registry:
    image = Image(BUSYBOX)
    registry.add('a/b', '1', image)
    failures = []

    def hook(handler, method, path):
      if path.endswith(digest(image.layers[0])) and len(failures) < 2:
        failures.append(path)
        if len(failures) == 1:
          handler.refuse(503, 'UNAVAILABLE', 'try later')
        else:  # breaks off in the middle
          handler.send_response(200)
          handler.send_header('Content-Length', str(len(image.layers[0])))
          handler.end_headers()
          handler.wfile.write(image.layers[0][:50])
          handler.close_connection = True
        return True
      return False
    registry.hook = hook
    store('pull', f'{registry.host}/a/b:1').ok()
    assert len(failures) == 2
    registry.hook = lambda handler, method, path: handler.refuse(500, 'UNKNOWN', 'disk\non fire') or True
    message = fails(store('pull', f'{registry.host}/a/b:2'), NETWORK, 'unexpected status from GET request to')
    assert '500: disk on fire' in message.splitlines()[-1], 'one line'


# Crashes and company

class SlowLayer:
  """A hook: sends half of one blob, then waits until it is told to go on."""

  def __init__(self, registry, blob):
    self.path, self.blob = digest(blob), blob
    self.reached, self.go_on = threading.Event(), threading.Event()
    registry.hook = self

  def __call__(self, handler, method, path):
    if not path.endswith(self.path):
      return False
    handler.send_response(200)
    handler.send_header('Content-Length', str(len(self.blob)))
    handler.end_headers()
    half = len(self.blob) // 2
    handler.wfile.write(self.blob[:half])
    handler.wfile.flush()
    self.reached.set()
    self.go_on.wait(30)
    handler.wfile.write(self.blob[half:])
    return True


def big_layer():
  return tar(*[(f'file-{n}', os.urandom(100000)) for n in range(30)])


def children(pid):
  return [int(c) for c in open(f'/proc/{pid}/task/{pid}/children', encoding='utf-8').read().split()]


def test_killed_in_the_middle_of_a_pull():
  with Store() as store, FakeRegistry() as registry:
    image = Image(BUSYBOX, big_layer())
    registry.add('a/b', '1', image)
    slow = SlowLayer(registry, image.layers[1])
    name = f'{registry.host}/a/b:1'
    with subprocess.Popen(store.command('pull', name), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
      assert slow.reached.wait(20)
      wait_for(lambda: digest(BUSYBOX)[7:] in store.layers(), what='the small layer')
      # Garbage collection beside it takes nothing that it needs.
      assert store.events('gc')[-1]['layers'] == 0
      running = children(process.pid)
      assert len(running) == 2, 'inflate and unpack'
      process.kill()
    wait_for(lambda: not any(os.path.exists(f'/proc/{pid}') for pid in running), what='the end of its children')
    slow.go_on.set()
    assert store.names() == [] and digest(image.layers[1])[7:] not in store.layers()
    registry.requests.clear()
    store('pull', name).ok()
    assert not any(path.endswith(digest(image.layers[0])) for path in registry.paths()), 'a complete layer is not fetched again'
    assert os.listdir(os.path.join(store.store, 'tmp')) == []
    assert len(os.listdir(store.tree(image.diff_ids[1]))) == 30


def test_garbage_of_a_killed_pull_is_collected():
  with Store() as store, FakeRegistry() as registry:
    image = Image(BUSYBOX, big_layer())
    registry.add('a/b', '1', image)
    slow = SlowLayer(registry, image.layers[1])
    with subprocess.Popen(store.command('pull', f'{registry.host}/a/b:1')) as process:
      assert slow.reached.wait(20)
      wait_for(lambda: digest(BUSYBOX)[7:] in store.layers(), what='the small layer')
      process.kill()
    slow.go_on.set()
    collected = store.events('gc')[-1]
    assert collected['abandoned'] == 1 and collected['layers'] == 1
    assert store.is_empty()


def test_stages_are_sandboxed():
  with Store() as store, FakeRegistry() as registry:
    image = Image(big_layer())
    registry.add('a/b', '1', image)
    slow = SlowLayer(registry, image.layers[0])
    right = credentials_file(store.folder, **{registry.host: ('ann', 'secret')})
    environment = {**os.environ, 'SECRET': 'do not tell'}
    with subprocess.Popen(store.command('pull', '-q', '--creds-file', right, f'{registry.host}/a/b:1'), env=environment, stdout=subprocess.DEVNULL) as process:
      assert slow.reached.wait(20)
      for pid in wait_for(lambda: len(children(process.pid)) == 2 and children(process.pid), what='two stages'):
        status = lambda: dict(l.split(':\t', 1) for l in open(f'/proc/{pid}/status', encoding='utf-8').read().splitlines() if ':\t' in l)
        wait_for(lambda: status()['Seccomp'] == '2', what='the filter of system calls')
        now, words = status(), open(f'/proc/{pid}/cmdline', 'rb').read().split(b'\0')
        assert now['NoNewPrivs'] == '1'
        for name in ('net', 'mnt', 'ipc', 'uts'):
          assert os.readlink(f'/proc/{pid}/ns/{name}') != os.readlink(f'/proc/self/ns/{name}')
        assert b'do not tell' not in open(f'/proc/{pid}/environ', 'rb').read()
        mounts = open(f'/proc/{pid}/mounts', encoding='utf-8').read().splitlines()
        assert len(mounts) == 1 and all(o in mounts[0] for o in ('nosuid', 'nodev', 'noexec')), mounts
        fds = sorted(int(fd) for fd in os.listdir(f'/proc/{pid}/fd'))
        targets = [os.readlink(f'/proc/{pid}/fd/{fd}') for fd in fds]
        assert not any('socket' in t or 'config' in t for t in targets), targets
        if b'inflate' in words:
          assert now['CapEff'].strip('0') == '' and now['CapBnd'].strip('0') == '' and now['Uid'].split()[1] == '65534'
          assert os.listdir(f'/proc/{pid}/root/') == []
        else:
          # chown, dac_override, fowner, fsetid, sys_admin (for trusted.*), mknod, setfcap
          allowed = sum(1 << n for n in (0, 1, 3, 4, 21, 27, 31))
          assert int(now['CapEff'], 16) & ~allowed == 0 and int(now['CapBnd'], 16) & ~allowed == 0, now
      slow.go_on.set()
      assert process.wait(20) == 0


def test_several_at_once():
  with Store() as store, FakeRegistry() as registry:
    base = big_layer()
    images = [Image(base, tar((f'own-{n}', b'x'))) for n in range(4)]
    for number, image in enumerate(images):
      registry.add(f'a/b{number}', '1', image)
    pulls = [subprocess.Popen(store.command('pull', '-q', f'{registry.host}/a/b{n}:1'), stdout=subprocess.DEVNULL) for n in range(4)]
    collections = [subprocess.Popen(store.command('gc', '-q')) for _ in range(4)]
    assert [p.wait(60) for p in pulls + collections] == [0] * 8
    assert len(store.layers()) == 5, 'the shared layer is there once'
    assert len(store.events('list')) == 4
    for image in images:
      for diff_id in image.diff_ids:
        assert os.listdir(store.tree(diff_id))


# What is kept and what goes

def test_remove_and_collect():
  with Store() as store, FakeRegistry() as registry:
    one, two = Image(BUSYBOX, tar(('one', b''))), Image(BUSYBOX, tar(('two', b'')))
    registry.add('a/one', '1', one)
    registry.add('a/two', '1', two)
    for name in ('a/one:1', 'a/two:1'):
      store('pull', f'{registry.host}/{name}').ok()
    assert len(store.layers()) == 3, 'a shared layer counts once'
    assert store.events('rm', f'{registry.host}/a/one:1') == [
        {'type': 'removed', 'reference': f'{registry.host}/a/one:1'},
        {'type': 'removed', 'reference': f'{registry.host}/a/one@{one.digest}'}]
    assert store.layers() == sorted(d[7:] for d in two.diff_ids)
    assert os.listdir(os.path.join(store.store, 'images', registry.host)) == ['a']
    fails(store('rm', f'{registry.host}/a/one:1'), NOT_FOUND)
    fails(store('rm', two.id[7:18]), NOT_FOUND)  # eleven digits are too short for an id
    store('rm', two.id[7:19]).ok()
    assert store.is_empty()


def test_pins_keep_an_image():
  with Store() as store:
    tree = store.rootfs(BUSYBOX)
    manifest = store.events('list')[0]['manifest']
    # As the node does for a container (image_store_pin).
    with open(os.path.join(store.store, 'pins', 'container-1'), 'w', encoding='utf-8') as file:
      file.write(manifest + '\n')
    store('rm', 'test').ok()
    assert store.events('list') == [] and os.path.exists(tree)
    store('gc').ok()
    assert os.path.exists(tree)
    os.unlink(os.path.join(store.store, 'pins', 'container-1'))
    assert store.events('gc')[-1]['layers'] == 1
    assert store.is_empty()


def test_a_damaged_store_is_mended():
  with Store() as store, FakeRegistry() as registry:
    image = Image(BUSYBOX)
    registry.add('a/b', '1', image)
    name = f'{registry.host}/a/b:1'
    store('pull', name).ok()
    shutil.rmtree(os.path.dirname(store.tree(image.diff_ids[0])))
    assert store.events('list') == [], 'an image without its layers is none'
    store('pull', name).ok()
    assert os.path.exists(store.tree(image.diff_ids[0]) + '/bin/sh')
    shutil.rmtree(os.path.join(store.store, 'summaries'))
    os.mkdir(os.path.join(store.store, 'summaries'))
    store('gc').ok()
    assert store.is_empty()
    with open(os.path.join(store.store, 'format'), 'w', encoding='utf-8') as file:
      file.write('seapod-image-store 2\n')
    fails(store('list'), OTHER, 'newer version')


# Archives

def saved_config(*layers, **config):
  return json.dumps({'os': 'linux', 'architecture': 'amd64', 'config': config,
                     'rootfs': {'type': 'layers', 'diff_ids': [digest(layer) for layer in layers]}}).encode()


def test_import_docker_save():
  top = tar(('top', b'1'))
  config = saved_config(BUSYBOX, top, BUSYBOX, Entrypoint=['/bin/sh'], User='1000', WorkingDir='/srv', Volumes={'/data': {}},
                        Labels={'b': '2', 'a': '1'}, StopSignal='SIGINT')
  archive = docker_save('example.com/app:v1', config, BUSYBOX, top, f'{0:064x}/layer.tar')
  zstd = subprocess.run(['zstd', '-q', '-c'], input=archive, capture_output=True, check=True).stdout
  for data in (archive, gzip.compress(archive), zstd):
    with Store() as store:
      result = store('import', '-', stdin=data)
      assert result.code == 0, result.err
      image = store.events('list')[0]
      assert image['repoTags'] == ['example.com/app:v1'] and image['repoDigests'] == []
      assert image['id'] == digest(config) and len(image['layers']) == 3 and len(store.layers()) == 2
      assert (image['entrypoint'], image['user'], image['workingDir']) == (['/bin/sh'], '1000', '/srv')
      assert (image['volumes'], image['labels'], image['stopSignal']) == (['/data'], {'a': '1', 'b': '2'}, 'SIGINT')
  with Store() as store:
    path = store.write('app.tar', archive)
    store('import', path, '--name', 'other', '--name', 'quay.io/x/y:2').ok()
    assert store.names() == ['docker.io/library/other:latest', 'quay.io/x/y:2']
    path = store.write('nameless.tar', docker_save(None, config, BUSYBOX, top, BUSYBOX))
    fails(store('import', path), USAGE, '--name')
    store('import', '--name', 'named', path).ok()


def test_import_oci_layouts():
  with Store() as store:
    folder = os.path.join(store.folder, 'layout')
    image = Image(BUSYBOX, tar(('new', b'')))
    image.write_layout(folder, 'example.com/app:v2')
    assert store.image('import', folder)['manifest'] == image.digest
    # The same by skopeo, as a tar, compressed, from a pipe.
    source = busybox_layout(os.path.join(store.folder, 'umoci'))
    for kind, name in (('oci-archive', 'example.com/skopeo:oci'), ('docker-archive', 'example.com/skopeo:docker')):
      path = os.path.join(store.folder, kind)
      subprocess.run(['skopeo', 'copy', '-q', source, f'{kind}:{path}:{name}'], check=True, capture_output=True)
      store('import', path).ok()
      result = store('import', '-', stdin=gzip.compress(open(path, 'rb').read()))
      assert result.code == 0, result.err
      assert name in store.names()
    fails(store('import', os.path.join(store.folder, 'umoci')), USAGE, 'does not name its image')
    store('import', os.path.join(store.folder, 'umoci'), '--name', 'busybox').ok()
    assert 'docker.io/library/busybox:latest' in store.names()


def test_import_layout_with_several_platforms():
  with Store() as store:
    folder = os.path.join(store.folder, 'layout')
    amd64, arm64 = Image(BUSYBOX), Image(tar(('arm', b'')), architecture='arm64')
    amd64.write_layout(folder)
    for data in [*arm64.blobs.values(), arm64.manifest]:
      with open(f'{folder}/blobs/sha256/{digest(data)[7:]}', 'wb') as file:
        file.write(data)
    index = json.dumps({'schemaVersion': 2, 'manifests': [
        i.descriptor(platform={'os': 'linux', 'architecture': a}) for i, a in ((arm64, 'arm64'), (amd64, 'amd64'))]}).encode()
    with open(f'{folder}/blobs/sha256/{digest(index)[7:]}', 'wb') as file:
      file.write(index)
    with open(f'{folder}/index.json', 'w', encoding='utf-8') as file:
      json.dump({'manifests': [{'mediaType': OCI + 'index.v1+json', 'digest': digest(index), 'size': len(index),
                                'annotations': {'io.containerd.image.name': 'docker.io/a/b:1'}}]}, file)
    assert store.image('import', '--platform', 'linux/amd64', folder)['id'] == amd64.id
    assert store.names() == ['docker.io/a/b:1']
    fails(store('import', '--platform', 'linux/s390x', folder), NOT_FOUND, 'no image for platform linux/s390x')


def test_import_refuses():
  top = tar(('top', b'1'))
  config = saved_config(BUSYBOX)
  for what, data, code, text in [
      ('no archive', b'hello' * 500, BAD_DATA, 'cannot read the archive'),
      ('nothing', b'', BAD_DATA, ''),
      ('a plain tar', BUSYBOX, BAD_DATA, '--rootfs'),
      ('cut off', docker_save('a:1', config, BUSYBOX)[:3000], BAD_DATA, 'cannot read the archive'),
      ('damaged gzip', gzip.compress(docker_save('a:1', config, BUSYBOX))[:-30], BAD_DATA, 'gzip data ends too early'),
      ('another layer', docker_save('a:1', config, top), BAD_DATA, 'but the config says'),
      ('too few layers', docker_save('a:1', saved_config(BUSYBOX, top), BUSYBOX), BAD_DATA, 'number of layers'),
      ('a missing layer', docker_save('a:1', config, 'nothing/layer.tar'), BAD_DATA, 'lacks the layer'),
      ('a bad name', docker_save('A:1', config, BUSYBOX), USAGE, 'must be lowercase'),
      ('a name that climbs', docker_save('a:1', config, BUSYBOX, last=[('../../x', b'{}')]), BAD_DATA, 'bad file name'),
      ('a large config', docker_save('a:1', config + b' ' * (5 << 20), BUSYBOX), BAD_DATA, 'lacks the config'),
  ]:
    with Store() as store:
      message = fails(store('import', store.write('bad.tar', data)), code, text, 'failed to import')
      assert store.is_empty(), (what, message)
  with Store() as store:
    fails(store('import', '/nonexistent.tar'), NOT_FOUND, 'no such file')
    fails(store('import', '--rootfs', store.write('x.tar', BUSYBOX)), USAGE, '--name')
    fails(store('import', '--name', 'a@' + digest(b''), store.write('x.tar', BUSYBOX)), USAGE, 'under a digest')


def test_import_root_file_system():
  with Store() as store:
    words = ['--name', 'nginx:1', '--entrypoint', '/bin/sh', '--entrypoint', '-c', '--cmd', '["nginx", "-g"]', '--env', 'A=b', '--user', '33',
             '--workdir', '/srv', '--expose', '80', '--expose', '53/udp', '--volume', '/data', '--label', 'x=y=z', '--stop-signal', 'SIGQUIT']
    image = store.image('import', *words, store.write('root.tar', BUSYBOX))
    assert (image['entrypoint'], image['cmd'], image['env']) == (['/bin/sh', '-c'], ['nginx', '-g'], ['A=b'])
    assert (image['user'], image['workingDir'], image['stopSignal']) == ('33', '/srv', 'SIGQUIT')
    assert (sorted(image['exposedPorts']), image['volumes'], image['labels']) == (['53/udp', '80/tcp'], ['/data'], {'x': 'y=z'})
    again = store.image('import', *words, store.write('root.tar.gz', gzip.compress(BUSYBOX)))
    assert again['id'] == image['id'], 'the same content is the same image'
    fails(store('import', *words, '--cmd', '[1]', store.write('root.tar', BUSYBOX)), USAGE, 'not a JSON array')


# Layers

def test_attributes_are_kept():
  layer = tar(
      ('.', directory(mode=0o711, uid=5, gid=6, mtime=1000)),
      ('dir', directory(mode=0o2750, uid=1000, gid=1001, mtime=1111111111)),
      ('dir/file', {'data': b'content', 'mode': 0o4755, 'uid': 70000, 'gid': 80000, 'mtime': 1234567890.5}),
      ('dir/hard', hard_link('dir/file')),
      ('dir/link', link('/absolute/target', uid=7, mtime=999)),
      ('dir/pipe', {'type': tarfile.FIFOTYPE, 'mode': 0o600}),
      ('dir/null', {'type': tarfile.CHRTYPE, 'devmajor': 1, 'devminor': 3, 'mode': 0o666}),
      ('dir/disk', {'type': tarfile.BLKTYPE, 'devmajor': 8, 'devminor': 0}),
      ('dir/whiteout', {'type': tarfile.CHRTYPE, 'devmajor': 0, 'devminor': 0}),
      ('capable', {'data': b'x', 'mode': 0o755, 'pax_headers': {
          'SCHILY.xattr.security.capability': b'\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0'.decode('latin-1'),
          'SCHILY.xattr.user.note': 'hello', 'SCHILY.xattr.trusted.overlay.redirect': '/etc',
          'SCHILY.xattr.user.overlay.opaque': 'y', 'SCHILY.xattr.security.selinux': 'x'}}),
      ('grüße/日本', b'utf-8'))
  with Store() as store:
    tree = store.rootfs(layer)
    stat = lambda path: os.lstat(os.path.join(tree, path))
    assert (stat('.').st_mode & 0o7777, stat('.').st_uid, stat('.').st_gid, stat('.').st_mtime) == (0o711, 5, 6, 1000)
    assert (stat('dir').st_mode & 0o7777, stat('dir').st_uid, stat('dir').st_gid, stat('dir').st_mtime) == (0o2750, 1000, 1001, 1111111111)
    assert (stat('dir/file').st_mode & 0o7777, stat('dir/file').st_uid, stat('dir/file').st_mtime) == (0o4755, 70000, 1234567890.5)
    assert stat('dir/hard').st_ino == stat('dir/file').st_ino and stat('dir/file').st_nlink == 2
    assert os.readlink(tree + '/dir/link') == '/absolute/target' and (stat('dir/link').st_uid, stat('dir/link').st_mtime) == (7, 999)
    assert stat('dir/pipe').st_mode & 0o170000 == 0o010000 and stat('dir/null').st_rdev == os.makedev(1, 3)
    assert not os.path.lexists(tree + '/dir/disk'), 'disks are the host\'s'
    assert not os.path.lexists(tree + '/dir/whiteout'), 'overlayfs\' own forms are not taken from strangers'
    assert sorted(os.listxattr(tree + '/capable')) == ['security.capability', 'user.note']
    assert os.getxattr(tree + '/capable', 'security.capability')[4:6] == b'\0\x04'
    assert open(tree + '/grüße/日本', encoding='utf-8').read() == 'utf-8'
    assert os.stat(os.path.join(store.store)).st_mode & 0o777 == 0o700, 'set-user-ID programs are nobody\'s on the host'


def overlay(store, image):
  """The merged view of an image, as a container sees it."""
  point = os.path.join(store.folder, 'merged')
  os.mkdir(point)
  lower = ':'.join(store.tree(layer) for layer in reversed(image['layers']))
  subprocess.run(['mount', '-t', 'overlay', 'overlay', '-o', 'ro,lowerdir=' + lower, point], check=True)
  return point


def test_whiteouts_and_overlayfs():
  lower = tar(('keep', b''), ('gone', b''), ('dir', directory()), ('dir/old', b''), ('opaque', directory()), ('opaque/old', b''),
              ('replaced', directory()), ('replaced/old', b''), ('late', directory()), ('late/old', b''), ('file', b'old'))
  upper = tar(('.wh.gone', b''), ('dir/.wh.old', b''), ('opaque/.wh..wh..opq', b''), ('opaque/new', b''),
              ('.wh.replaced', b''), ('replaced', directory()), ('replaced/new', b''),
              ('late', directory()), ('late/new', b''), ('.wh.late', b''), ('file', b'new'), ('.wh.file', b''),
              ('.wh..wh.plnk', directory()), ('.wh..wh.plnk/1.2', b''), ('.wh..wh.aufs', b''))
  with Store() as store, FakeRegistry() as registry:
    registry.add('a/b', '1', Image(lower, upper))
    point = overlay(store, store.image('pull', f'{registry.host}/a/b:1'))
    try:
      found = sorted(os.path.relpath(os.path.join(d, f), point) for d, _, files in os.walk(point) for f in files)
      assert found == ['file', 'keep', 'late/new', 'opaque/new', 'replaced/new'], found
      assert os.path.isdir(point + '/dir') and open(point + '/file', encoding='utf-8').read() == 'new'
    finally:
      subprocess.run(['umount', point], check=True)


def test_opaque_root_hides_all_below():
  with Store() as store, FakeRegistry() as registry:
    image = Image(tar(('old', b'')), tar(('.wh..wh..opq', b''), ('new', b'')), tar(('top', b'')))
    registry.add('a/b', '1', image)
    found = store.image('pull', f'{registry.host}/a/b:1')
    assert found['diffIds'] == image.diff_ids and found['layers'] == [d[7:] for d in image.diff_ids[1:]]


def test_later_entries_replace_earlier_ones():
  with Store() as store:
    tree = store.rootfs(tar(
        ('a', b'first'), ('a', b'second'), ('b', directory()), ('b/inside', b''), ('b', b'file now'), ('c', b''), ('c', directory(mode=0o700)),
        ('d', directory(mode=0o700)), ('d/kept', b''), ('d', directory(mode=0o755)), ('e', link('nowhere')), ('e', b'no link')))
    assert open(tree + '/a', encoding='utf-8').read() == 'second' and open(tree + '/b', encoding='utf-8').read() == 'file now'
    assert os.path.isdir(tree + '/c') and os.path.exists(tree + '/d/kept') and os.stat(tree + '/d').st_mode & 0o777 == 0o755
    assert not os.path.islink(tree + '/e')


def test_hostile_layers():
  with Store() as store:
    outside = os.path.join(store.folder, 'outside')
    os.mkdir(outside)
    with open(outside + '/victim', 'w', encoding='utf-8') as file:
      file.write('untouched')
    up = '../' * 12
    absolute, relative = outside, up + outside[1:]
    refused = [
        ('dots', [(up + 'etc/seapod-hostile', b'x')]),
        ('dots inside', [('a/../../../x', b'x')]),
        ('hard link by dots', [('h', hard_link(relative + '/victim'))]),
        ('hard link to outside', [('h', hard_link(absolute + '/victim'))]),
        ('hard link through a link', [('l', link(absolute)), ('h', hard_link('l/victim'))]),
        ('hard link to a directory', [('d', directory()), ('h', hard_link('d'))]),
        ('whiteout by dots', [('.wh...', b'')]),
        ('whiteout of nothing', [('.wh.', b'')]),
        ('a long name', [('x' * 300, b'')]),
        ('file in a file', [('f', b''), ('f/g', b'')]),
        ('a circle of links', [('a', link('b')), ('b', link('a')), ('a/x', b'')]),
        ('owner', [('f', {'uid': 1 << 32, 'pax_headers': {}})]),
    ]
    for what, entries in refused:
      path = store.write('hostile.tar', tar(*entries))
      fails(store('import', '--rootfs', '--name', 'x', path), BAD_DATA, 'layer entry')
      assert store.is_empty(), what
    confined = [
        ('absolute path', [(absolute + '/victim', b'overwritten')]),
        ('through an absolute link', [('l', link(absolute)), ('l/victim', b'overwritten')]),
        ('through a relative link', [('l', link(relative)), ('l/victim', b'overwritten')]),
        ('through two links', [('m', link('l')), ('l', link(absolute)), ('m/new/victim', b'overwritten')]),
        ('over a link', [('l', link(absolute + '/victim')), ('l', b'overwritten')]),
        ('directory over a link', [('l', link(absolute)), ('l', directory(mode=0o777)), ('l/victim', b'overwritten')]),
        ('attributes through a link', [('l', link(absolute, mode=0o777, uid=77))]),
        ('whiteout through a link', [('l', link(absolute)), ('l/.wh.victim', b'')]),
        ('opaque through a link', [('l', link(absolute)), ('l/.wh..wh..opq', b'')]),
        ('proc', [('l', link('/proc/self/root' + absolute)), ('l/victim', b'overwritten')]),
    ]
    before = os.lstat(outside), os.lstat(outside + '/victim')
    for what, entries in confined:
      store.rootfs(tar(*entries))
      after = os.lstat(outside), os.lstat(outside + '/victim')
      assert os.listdir(outside) == ['victim'] and os.listxattr(outside) == [], what
      assert open(outside + '/victim', encoding='utf-8').read() == 'untouched', what
      # Reading it just now moved its time of access only.
      assert [(s.st_mode, s.st_uid, s.st_nlink, s.st_ino, s.st_mtime, s.st_ctime) for s in before] == \
             [(s.st_mode, s.st_uid, s.st_nlink, s.st_ino, s.st_mtime, s.st_ctime) for s in after], what
    store('rm', 'test').ok()


def test_bombs():
  with Store() as store:
    zeros = tar(('zeros', bytes(64 << 20)))
    small = gzip.compress(zeros)
    assert len(small) < 100000
    path = store.write('bomb.tar.gz', small)
    fails(store('import', '--rootfs', '--name', 'x', '--max-layer-bytes', str(10 << 20), path), BAD_DATA, 'unpacks to more than 10485760 bytes')
    many = store.write('many.tar', tar(*[(f'f{n}', b'') for n in range(2000)]))
    fails(store('import', '--rootfs', '--name', 'x', '--max-layer-entries', '1000', many), BAD_DATA, 'more than 1000 entries')
    # A sparse file of an exabyte takes no room in the archive.
    sparse = tar(('sparse', {'pax_headers': {'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.name': 'sparse',
                                             'GNU.sparse.realsize': str(1 << 60)}, 'data': b'0\n' + bytes(510)}))
    fails(store('import', '--rootfs', '--name', 'x', store.write('sparse.tar', sparse)), BAD_DATA, 'unpacks to more than')
    assert store.is_empty()
    store('import', '--rootfs', '--name', 'x', path).ok()
    store('import', '--rootfs', '--name', 'y', many).ok()


def test_deep_trees_are_made_and_removed():
  with Store() as store:
    # Each link shortens the way to the deepest directory so far, so that the depth has no bound.
    entries = []
    for number in range(20):
      prefix = f'l{number - 1}/' if number else ''
      deep = prefix + '/'.join(['d'] * 100)
      entries += [(deep + '/x', b''), (f'l{number}', link((f'l{number - 1}/' if number else '') + '/'.join(['d'] * 100)))]
    store.rootfs(tar(*entries))
    store('rm', 'test').ok()
    assert store.is_empty()


# Output

def test_progress_on_a_terminal_only():
  with Store() as store, FakeRegistry() as registry:
    registry.add('a/b', '1', Image(BUSYBOX, tar(('x', os.urandom(1 << 20)))))
    name = f'{registry.host}/a/b:1'
    result = store('pull', name)
    assert result.err == '' and result.out.startswith(f'{name} sha256:')
    store('rm', name).ok()
    terminal, other = os.openpty()
    with subprocess.Popen(store.command('pull', name), stderr=other, stdout=subprocess.DEVNULL) as process:
      os.close(other)
      text = b''
      with contextlib.suppress(OSError):
        while chunk := os.read(terminal, 65536):
          text += chunk
      assert process.wait(20) == 0
    os.close(terminal)
    assert text.count(b'[##############################] done') >= 2, text
    store('rm', name).ok()
    assert store('pull', '-q', name).out.startswith('sha256:')


def test_messages_of_the_command_line():
  with Store() as store:
    assert 'Usage: seapod image' in store('list', '--help').out
    assert store('list', '--version').out.startswith('seapod-image ')
    fails(store('list', 'x'), USAGE, 'too many arguments')
    fails(store('pull', '--nonsense', 'x'), USAGE, '--nonsense')
    fails(store('import', '--platform', 'a/b/c/d', 'x'), USAGE, 'not a platform')
    full = subprocess.run(f'{PROGRAM} list --data-dir {store.data} >/dev/full', shell=True, capture_output=True, text=True, check=False)
    assert full.returncode == OTHER and 'cannot write to standard output' in full.stderr
