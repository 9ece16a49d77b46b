"""Registries that want to know who asks: imagePullSecrets of pods and of service accounts, in both forms; and what images a node keeps."""
import base64
import json
import time

from harness import images, registry
from harness.cluster import container_status, wait_for

SPLIT = False  # the node alone is asked
CLUSTER = {'images': ('busybox:latest',),
           'arguments': ('--image-gc-high-threshold', '2', '--image-gc-low-threshold', '1', '--minimum-image-ttl', '1')}


def pod(name, image, **spec):
  return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name},
          'spec': {'terminationGracePeriodSeconds': 0, 'containers': [{'name': 'c', 'image': image, 'command': ['sleep', '100000']}], **spec}}


def config(host, user, password):
  return {host: {'auth': base64.b64encode(f'{user}:{password}'.encode()).decode()}}


def messages(cluster, name):
  return [e['message'] for e in cluster.json('get', 'events', '--field-selector', f'involvedObject.name={name}')['items']]


def node_images(cluster):
  return {name for image in cluster.json('get', 'node', cluster.node_name)['status'].get('images', []) for name in image['names']}


def waiting(reason):
  return lambda p: container_status(p)['state'].get('waiting', {}).get('reason') == reason


def test_private_registry(cluster):
  with registry.DockerRegistry('jane', 'secret') as private:
    for name, like in (('one', 'busybox:latest'), ('two', 'busybox:latest'), ('three', 'ikubernetes/myapp:v1')):
      images.push_as(private, like, f'team/{name}:v1')
    host = private.host
    cluster.kubectl('create', 'secret', 'docker-registry', 'good', f'--docker-server={host}', '--docker-username=jane',
                    '--docker-password=secret').ok()
    cluster.kubectl('create', 'secret', 'docker-registry', 'bad', f'--docker-server={host}', '--docker-username=jane',
                    '--docker-password=wrong').ok()
    cluster.kubectl('create', 'secret', 'generic', 'old', '--type=kubernetes.io/dockercfg',
                    f'--from-literal=.dockercfg={json.dumps(config(host, "jane", "secret"))}').ok()
    cluster.create({'apiVersion': 'v1', 'kind': 'ServiceAccount', 'metadata': {'name': 'puller'}, 'imagePullSecrets': [{'name': 'old'}]}).ok()
    cluster.create(pod('anonymous', f'{host}/team/one:v1')).ok()
    cluster.create(pod('refused', f'{host}/team/one:v1', imagePullSecrets=[{'name': 'bad'}, {'name': 'absent'}])).ok()
    cluster.create(pod('secret', f'{host}/team/two:v1', imagePullSecrets=[{'name': 'bad'}, {'name': 'good'}])).ok()
    cluster.create(pod('account', f'{host}/team/three:v1', serviceAccountName='puller')).ok()
    for name in ('secret', 'account'):
      cluster.wait_ready(name, 20)
    for name in ('anonymous', 'refused'):
      cluster.wait_pod(name, lambda p: waiting('ErrImagePull')(p) or waiting('ImagePullBackOff')(p), 20)
      assert any('authorization failed' in m or '401' in m or 'no basic auth' in m for m in messages(cluster, name)), messages(cluster, name)
    assert any('Unable to retrieve some image pull secrets (absent); attempting to pull the image may not succeed.' in m
               for m in messages(cluster, 'refused')), messages(cluster, 'refused')
    assert 'jane' not in cluster.log(), 'credentials in the log'
    wait_for(lambda: {f'{host}/team/two:v1', f'{host}/team/three:v1'} <= node_images(cluster), 10, "the images in the node's status")


def test_unused_images_go(cluster):
  """The disk is fuller than the thresholds of this cluster allow: what no container uses goes, at the next pull."""
  kept = next(n for n in node_images(cluster) if '/team/two:v1' in n)
  gone = next(n for n in node_images(cluster) if '/team/three:v1' in n)
  cluster.kubectl('delete', 'pod', 'account', 'anonymous', 'refused').ok()
  time.sleep(1)
  with registry.DockerRegistry() as public:
    images.push_as(public, 'busybox:latest', 'team/four:v1')
    cluster.create(pod('four', f'{public.host}/team/four:v1')).ok()
    cluster.wait_ready('four')
    wait_for(lambda: gone not in node_images(cluster), 10, 'the image removed')
  assert kept in node_images(cluster)
  assert cluster.kubectl('exec', 'secret', '--', 'true').code == 0
