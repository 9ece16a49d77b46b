"""seapod-image against registries, crashes and company. Runs the real program as root; no cluster."""
import contextlib
import gzip
import json
import os
import random
import shutil
import subprocess
import threading
import time

from harness.cluster import wait_for
from harness.image_store import BAD_DATA, DENIED, NETWORK, NOT_FOUND, OTHER, PROGRAM, USAGE, Store, fails
from harness.registry import DOCKER, OCI, DockerRegistry, FakeRegistry, Image, busybox_layout, certificate, credentials_file, digest, directory, link, tar

SPLIT = False  # nothing here differs when the node is another process
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
      config = store.write('config.json', json.dumps({'certificateAuthorities': {registry.host: authority}}).encode())
      store('pull', '--creds-file', config, name).ok()
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
    assert ': 500 Internal Server Error: disk on fire' in message.splitlines()[-1], 'one line'


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


def test_killed_at_any_instant():
  with Store() as store, FakeRegistry() as registry:
    image = Image(BUSYBOX, tar(*[(f'file-{n}', os.urandom(2000)) for n in range(50)]), tar(('top', b'')))
    registry.add('a/b', '1', image)
    name, chance = f'{registry.host}/a/b:1', random.Random(1)
    killed = 0
    for _ in range(40):
      with subprocess.Popen(store.command('pull', '-q', name), stdout=subprocess.DEVNULL) as process:
        time.sleep(chance.random() * 0.12)
        killed += process.poll() is None
        process.kill()
      found = store.events('list')
      assert len(found) <= 1
      if found:  # then it is whole
        assert [len(os.listdir(store.tree(d))) for d in image.diff_ids] == [1, 50, 1]
        store('rm', found[0]['id']).ok()
    assert killed > 10
    store('pull', name).ok()
    store('gc').ok()
    assert os.listdir(os.path.join(store.store, 'tmp')) == [] and len(store.layers()) == 3


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
