"""Volumes that come from elsewhere: images, claims, paths of the host, mounts that propagate."""
import os
import socket
import tempfile

from harness.cluster import container_status, wait_for

SPLIT = False  # the node alone is asked
CLUSTER = {'images': ('busybox:latest', 'ikubernetes/myapp:v1')}


def pod(name, mounts, volumes, script='sleep 100000', privileged=False, **spec):
  return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name}, 'spec': {
      'terminationGracePeriodSeconds': 0, 'volumes': volumes, 'containers': [
          {'name': 'c', 'image': 'busybox:latest', 'imagePullPolicy': 'IfNotPresent', 'command': ['/bin/sh', '-c', script],
           'securityContext': {'privileged': privileged}, 'volumeMounts': mounts}], **spec}}


def sh(cluster, name, script):
  return cluster.kubectl('exec', name, '--', '/bin/sh', '-c', script).ok()


def said(cluster, name, text):
  def look():
    items = cluster.json('get', 'events', '--field-selector', f'involvedObject.name={name},reason=FailedMount')['items']
    return any(text in e['message'] for e in items)
  wait_for(look, 10, f'FailedMount of {name}: {text}')


def test_image_volume(cluster):
  volumes = [{'name': 'v', 'image': {'reference': 'ikubernetes/myapp:v1', 'pullPolicy': 'IfNotPresent'}}]
  mounts = [{'name': 'v', 'mountPath': '/web'}, {'name': 'v', 'mountPath': '/pages', 'subPath': 'usr/share/nginx/html'}]
  cluster.create(pod('image', mounts, volumes)).ok()
  cluster.create(pod('noimage', mounts[:1], [{'name': 'v', 'image': {'reference': 'team/absent:v1', 'pullPolicy': 'Never'}}])).ok()
  cluster.wait_ready('image')
  assert 'Hello MyApp' in sh(cluster, 'image', 'cat /web/usr/share/nginx/html/index.html /pages/index.html')
  assert sh(cluster, 'image', 'touch /web/x 2>/dev/null || echo refused') == 'refused\n'
  assert sh(cluster, 'image', '/web/bin/busybox true 2>/dev/null || echo refused') == 'refused\n'
  said(cluster, 'noimage', 'MountVolume.SetUp failed for volume "v" : ErrImageNeverPull: Container image "team/absent:v1" is not present')
  # Its layers are kept, and a server that starts again finds it mounted.
  cluster.kill()
  cluster.start()
  assert 'Hello MyApp' in sh(cluster, 'image', 'cat /pages/index.html')
  cluster.kubectl('delete', 'pod', 'image', 'noimage').ok()
  pins = os.path.join(cluster.data, 'images-store', 'pins')
  wait_for(lambda: not [p for p in os.listdir(pins) if p.startswith('volume.')], 5, 'the pin dropped')


def bind(cluster, name, **source):
  """As the volume controller would: a volume and a claim that know each other."""
  common = {'capacity': {'storage': '1Gi'}, 'accessModes': ['ReadWriteOnce'], 'storageClassName': ''}
  if 'local' in source:
    terms = [{'matchExpressions': [{'key': 'kubernetes.io/hostname', 'operator': 'In', 'values': [cluster.node_name]}]}]
    common['nodeAffinity'] = {'required': {'nodeSelectorTerms': terms}}
  claim = {'apiVersion': 'v1', 'kind': 'PersistentVolumeClaim', 'metadata': {'name': name},
           'spec': {'accessModes': ['ReadWriteOnce'], 'storageClassName': '', 'volumeName': name, 'resources': {'requests': {'storage': '1Gi'}}}}
  cluster.create(claim).ok()
  uid = cluster.json('get', 'pvc', name)['metadata']['uid']
  cluster.create({'apiVersion': 'v1', 'kind': 'PersistentVolume', 'metadata': {'name': name}, 'spec': {
      **common, **source, 'claimRef': {'kind': 'PersistentVolumeClaim', 'namespace': 'default', 'name': name, 'uid': uid}}}).ok()
  cluster.kubectl('patch', 'pvc', name, '--subresource=status', '--type=merge', '-p', '{"status":{"phase":"Bound"}}').ok()


def test_claims(cluster):
  needs_kubectl(24)  # noqa: F821: given by test/run
  with tempfile.TemporaryDirectory() as folder:
    os.mkdir(folder + '/local')
    def claim(name, **more):
      return [{'name': 'v', 'persistentVolumeClaim': {'claimName': name, **more}}]
    mounts = [{'name': 'v', 'mountPath': '/v'}]
    cluster.create(pod('waits', mounts, claim('host'), nodeName=cluster.node_name)).ok()  # past the scheduler
    said(cluster, 'waits', 'persistentvolumeclaims "host" not found')
    bind(cluster, 'host', hostPath={'path': folder + '/host', 'type': 'DirectoryOrCreate'})
    bind(cluster, 'local', local={'path': folder + '/local'})
    bind(cluster, 'lost', local={'path': folder + '/lost'})
    cluster.create(pod('local', mounts, claim('local', readOnly=True), nodeName=cluster.node_name, securityContext={'fsGroup': 4321})).ok()
    cluster.create(pod('lost', mounts, claim('lost'), nodeName=cluster.node_name)).ok()
    cluster.wait_ready('waits')
    cluster.wait_ready('local')
    sh(cluster, 'waits', 'echo kept > /v/file')
    assert open(folder + '/host/file', encoding='utf-8').read() == 'kept\n'
    assert sh(cluster, 'local', 'touch /v/x 2>/dev/null || echo refused') == 'refused\n'
    assert os.stat(folder + '/local').st_gid == 4321
    said(cluster, 'lost', f'path "{folder}/lost" does not exist')
    cluster.kubectl('delete', 'pod', 'waits', 'local', 'lost').ok()
    assert os.listdir(folder + '/host') == ['file'], 'what a claim holds is kept'


def test_host_paths_of_every_type(cluster):
  with tempfile.TemporaryDirectory() as folder:
    open(folder + '/file', 'w', encoding='utf-8').write('text')
    server = socket.socket(socket.AF_UNIX)
    server.bind(folder + '/socket')
    types = [('', 'made/by/itself'), ('DirectoryOrCreate', 'made/too'), ('Directory', 'made'), ('FileOrCreate', 'new'), ('File', 'file'),
             ('Socket', 'socket'), ('CharDevice', '/dev/null')]
    volumes = [{'name': f'v{i}', 'hostPath': {'path': os.path.join(folder, path), 'type': kind}} for i, (kind, path) in enumerate(types)]
    mounts = [{'name': f'v{i}', 'mountPath': f'/v{i}'} for i in range(len(types))]
    cluster.create(pod('paths', mounts, volumes)).ok()
    cluster.create(pod('wrong', mounts[:1], [{'name': 'v0', 'hostPath': {'path': folder + '/file', 'type': 'Directory'}}])).ok()
    cluster.wait_ready('paths')
    assert sh(cluster, 'paths', 'test -d /v0 && test -d /v1 && test -d /v2 && test -f /v3 && cat /v4 && test -S /v5 && test -c /v6') == 'text'
    said(cluster, 'wrong', f'hostPath type check failed: {folder}/file is not a directory')
    server.close()
    cluster.kubectl('delete', 'pod', 'paths', 'wrong').ok()


def test_mount_propagation(cluster):
  """What one container mounts shows on the host and in the other, as far as their mounts say."""
  with tempfile.TemporaryDirectory() as folder:
    volumes = [{'name': 'v', 'hostPath': {'path': folder, 'type': 'Directory'}}]
    giver = pod('giver', [{'name': 'v', 'mountPath': '/v', 'mountPropagation': 'Bidirectional'}], volumes, privileged=True)
    taker = pod('taker', [{'name': 'v', 'mountPath': '/v', 'mountPropagation': 'HostToContainer'}], volumes)
    private = pod('private', [{'name': 'v', 'mountPath': '/v'}], volumes)
    for one in (giver, taker, private):
      cluster.create(one).ok()
    for name in ('giver', 'taker', 'private'):
      cluster.wait_ready(name)
    sh(cluster, 'giver', 'mkdir /v/m && mount -t tmpfs none /v/m && touch /v/m/inside')
    shown = os.path.exists(folder + '/m/inside')  # only where the host's mount is shared at all
    assert sh(cluster, 'taker', 'ls /v/m').strip() == ('inside' if shown else '')
    assert sh(cluster, 'private', 'ls /v/m') == ''
    sh(cluster, 'giver', 'umount /v/m')
    cluster.kubectl('delete', 'pod', 'giver', 'taker', 'private').ok()


def test_empty_dir_in_memory(cluster):
  """A limit of a tmpfs holds; it is counted to the pod's memory and goes with the pod."""
  volumes = [{'name': 'v', 'emptyDir': {'medium': 'Memory', 'sizeLimit': '2Mi'}}]
  cluster.create(pod('memory', [{'name': 'v', 'mountPath': '/v'}], volumes)).ok()
  uid = cluster.wait_ready('memory')['metadata']['uid']
  assert 'No space left' in sh(cluster, 'memory', 'dd if=/dev/zero of=/v/x bs=1M count=3 2>&1 || true')
  assert sh(cluster, 'memory', 'wc -c < /v/x').strip() == str(2 * 1024 * 1024)
  cluster.kubectl('delete', 'pod', 'memory').ok()
  wait_for(lambda: not os.path.exists(os.path.join(cluster.data, 'pods', uid)), 5, 'its directory gone')
