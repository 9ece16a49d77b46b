"""What seapod-image makes of archives and layers, and what it refuses. Runs the real program as root; no cluster."""
import gzip
import json
import os
import subprocess
import tarfile

from harness.image_store import BAD_DATA, NOT_FOUND, OTHER, USAGE, Store, fails
from harness.registry import OCI, FakeRegistry, Image, busybox_layout, digest, directory, docker_save, hard_link, link, tar

SPLIT = False  # nothing here differs when the node is another process
BUSYBOX = tar(('bin', directory()), ('bin/busybox', {'data': b'#!', 'mode': 0o755}), ('bin/sh', link('busybox')))


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


def test_import_only_what_is_new():
  with Store() as store:
    folder = os.path.join(store.folder, 'images')
    os.mkdir(folder)
    config = saved_config(BUSYBOX)
    path = os.path.join(folder, 'a.tar')
    with open(path, 'wb') as file:
      file.write(docker_save('a:1', config, BUSYBOX))
    Image(tar(('layout', b''))).write_layout(os.path.join(folder, 'layout'), 'b:1')
    imported = lambda: [e['reference'].split('/')[-1] for e in store.events('import', '--new', folder) if e['type'] == 'image']
    assert imported() == ['a:1', 'b:1']
    assert imported() == []
    store('rm', 'a:1').ok()
    assert imported() == ['a:1'], 'what went is brought back'
    with open(path, 'wb') as file:
      file.write(docker_save('c:1', config, BUSYBOX))
    assert imported() == ['c:1']
    # One that is bad does not keep the others out.
    for name in ('0-bad.tar', '1-bad.tar'):
      with open(os.path.join(folder, name), 'wb') as file:
        file.write(b'garbage' * 100)
    os.utime(path)
    result = store('import', '--new', folder)
    message = fails(result, BAD_DATA, '0-bad.tar: cannot read the archive', '1-bad.tar: cannot read the archive')
    assert len(message.splitlines()) == 2 and 'c:1' in result.out


def test_a_strict_umask_does_not_close_containers():
  with Store() as store:
    path = store.write('layer.tar', tar(('a/file', b'')))
    subprocess.run(['sh', '-c', 'umask 077; exec "$@"', 'sh', *store.command('import', '--rootfs', '--name', 'x', path)], check=True, capture_output=True)
    tree = store.tree(store.layers()[0])
    assert [os.stat(os.path.join(tree, p)).st_mode & 0o777 for p in ('.', 'a', 'a/file')] == [0o755, 0o755, 0o644]
    assert os.stat(store.store).st_mode & 0o777 == 0o700


def test_a_full_disk():
  with Store() as store:
    os.mkdir(store.data)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', store.data], check=True)
    try:
      small = store.write('small.tar', BUSYBOX)
      store('import', '--rootfs', '--name', 'small', small).ok()
      large = store.write('large.tar', tar(('large', os.urandom(4 << 20))))
      fails(store('import', '--rootfs', '--name', 'large', large), OTHER, 'No space left on device')
      assert store.names() == ['docker.io/library/small:latest'] and len(store.layers()) == 1
      assert os.listdir(os.path.join(store.store, 'tmp')) == []
      store('rm', 'small').ok()
    finally:
      subprocess.run(['umount', store.data], check=True)


def test_list_lines_of_many_names():
  with Store() as store:
    store('import', '--name', 'b', '--name', 'a:2', '--name', 'a:1', '--cmd', 'x', store.write('x.tar', BUSYBOX)).ok()
    rows = [line.split()[:2] for line in store('list').ok().splitlines()]
    assert rows == [['IMAGE', 'TAG'], ['docker.io/library/a', '1'], ['docker.io/library/a', '2'], ['docker.io/library/b', 'latest']]
