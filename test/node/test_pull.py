"""Images of pods: pulled by tag and by digest through a mirror, pull policies, and what goes wrong with the registry's own words."""
import os
import subprocess
import tempfile

from harness import images, registry
from harness.cluster import condition, container_status, wait_for

CLUSTER = {'images': ('busybox:latest', 'ikubernetes/myapp:v1'), 'registry': True}


def pod(name, image, policy=None):
  container = {'name': 'c', 'image': image, 'command': ['sleep', '100000']}
  if policy:
    container['imagePullPolicy'] = policy
  return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name}, 'spec': {'terminationGracePeriodSeconds': 0, 'containers': [container]}}


def waiting(reason):
  return lambda p: container_status(p)['state'].get('waiting', {}).get('reason') == reason


def events(cluster, name):
  return [(e['reason'], e['message']) for e in cluster.json('get', 'events', '--field-selector', f'involvedObject.name={name}')['items']]


def test_by_tag_and_short_name(cluster):
  cluster.create(pod('tag', 'busybox')).ok()  # latest: Always
  got = cluster.wait_ready('tag')
  status = container_status(got)
  assert got['spec']['containers'][0]['imagePullPolicy'] == 'Always'
  assert status['image'] == 'docker.io/library/busybox:latest' and '@sha256:' in status['imageID'], status
  seen = wait_for(lambda: 'Pulled' in dict(events(cluster, 'tag')) and events(cluster, 'tag'), 5, 'the event')
  assert ('Pulling', 'Pulling image "busybox"') in seen
  assert dict(seen)['Pulled'].startswith('Successfully pulled image "busybox" in ') and 'Image size: ' in dict(seen)['Pulled'], seen


def test_by_digest(cluster):
  """Through the mirror, too: the name with this digest is not here yet."""
  digest = images.push_as(cluster.registry, 'ikubernetes/myapp:v1', 'team/pinned:v1').digest
  image = f'team/pinned@{digest}'
  cluster.create(pod('digest', image)).ok()
  got = cluster.wait_ready('digest')
  assert got['spec']['containers'][0]['imagePullPolicy'] == 'IfNotPresent'
  assert container_status(got)['imageID'] == f'docker.io/{image}'
  wait_for(lambda: dict(events(cluster, 'digest'))['Pulled'].startswith(f'Successfully pulled image "{image}" in '), 5, 'the event')


def test_not_present_is_pulled(cluster):
  image = images.push_as(cluster.registry, 'busybox:latest', 'team/tool:v1')
  cluster.create(pod('fresh', 'team/tool:v1')).ok()
  cluster.wait_ready('fresh')
  assert image.id in cluster.image_list()


def test_never(cluster):
  cluster.create(pod('never', 'team/absent:v1', 'Never')).ok()
  got = cluster.wait_pod('never', waiting('ErrImageNeverPull'))
  assert container_status(got)['state']['waiting']['message'] == 'Container image "team/absent:v1" is not present with pull policy of Never'
  assert got['status']['phase'] == 'Pending'


def test_missing_image(cluster):
  """ErrImagePull with the registry's message, then ImagePullBackOff."""
  cluster.create(pod('missing', 'team/nothing:v9')).ok()
  got = cluster.wait_pod('missing', waiting('ImagePullBackOff'))
  message = container_status(got)['state']['waiting']['message']
  assert message.startswith('Back-off pulling image "team/nothing:v9": ErrImagePull: ') and 'not found' in message, message
  seen = events(cluster, 'missing')
  assert any(r == 'Failed' and m.startswith('Failed to pull image "team/nothing:v9": ') and 'docker.io/team/nothing:v9' in m for r, m in seen), seen
  assert ('Failed', 'Error: ErrImagePull') in seen and ('BackOff', 'Back-off pulling image "team/nothing:v9"') in seen, seen
  assert 'ImagePullBackOff' in cluster.kubectl('get', 'pod', 'missing').ok()


def test_it_is_pulled_once_it_is_there(cluster):
  images.push_as(cluster.registry, 'busybox:latest', 'team/nothing:v9')
  cluster.wait_ready('missing', 30)


def test_invalid_name(cluster):
  cluster.create(pod('invalid', 'NOT//valid', 'IfNotPresent')).ok()
  got = cluster.wait_pod('invalid', waiting('InvalidImageName'))
  assert "couldn't parse image name" in container_status(got)['state']['waiting']['message']
  assert 'invalid reference format' in container_status(got)['state']['waiting']['message']


def test_image_verbs_beside_a_running_server(cluster):
  listed = cluster.image('list')
  assert 'docker.io/library/busybox ' in listed, listed
  cluster.image('pull', '--mirror', f'docker.io=http://127.0.0.1:{cluster.registry.port}', 'ikubernetes/myapp:v1')
  cluster.image('rm', 'ikubernetes/myapp:v1')
  assert 'ikubernetes/myapp' not in cluster.image('list')


def test_archives_in_the_data_directory(cluster):
  """What lies in DATA_DIR/images/ is there after a start; claims of containers that are gone are not kept."""
  folder = os.path.join(cluster.data, 'images')
  os.makedirs(folder, exist_ok=True)
  with tempfile.TemporaryDirectory() as layout:
    registry.Image(images.archive('busybox:latest'), config={'Cmd': ['sh']}).write_layout(layout, 'docker.io/team/local:v3')
    subprocess.run(['tar', '-C', layout, '-cf', os.path.join(folder, 'local.tar'), '.'], check=True)
  stale = os.path.join(cluster.data, 'images-store', 'pins', 'f' * 64)
  pins = os.listdir(os.path.dirname(stale))
  os.link(os.path.join(os.path.dirname(stale), pins[0]), stale)
  cluster.kill()
  cluster.start()
  wait_for(lambda: 'docker.io/team/local ' in cluster.image('list'), 10, 'the imported archive')
  wait_for(lambda: sorted(os.listdir(os.path.dirname(stale))) == sorted(pins), 5, 'the stale claim dropped')
