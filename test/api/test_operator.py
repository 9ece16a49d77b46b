"""examples/operator beside a cluster, over TLS, as its service account: a pod for each member, each with its own image."""
import base64
import json
import os
import signal
import subprocess
import sys

from harness import clients
from harness.cluster import ROOT, wait_for

CLUSTER = {'node': False}
EXAMPLE = os.path.join(ROOT, 'examples', 'operator')


def virtual_environment():
  """kopf and the kubernetes client, installed once; None where PyPI or venv are not at hand."""
  folder = os.path.join(clients.CACHE, 'operator-venv')
  python = os.path.join(folder, 'bin', 'python')
  ready = os.path.join(folder, 'ready')
  try:
    if not os.path.exists(ready):
      subprocess.run([sys.executable, '-m', 'venv', '--clear', folder], check=True, capture_output=True, timeout=60)
      subprocess.run([python, '-m', 'pip', 'install', '-q', '--disable-pip-version-check', '-r', os.path.join(EXAMPLE, 'requirements.txt')],
                     check=True, capture_output=True, timeout=180)
      open(ready, 'w').close()
  except (OSError, subprocess.SubprocessError):
    return None
  return python


def kubeconfig(cluster):
  """One that knows nothing but the CA and the service account's token."""
  token = cluster.kubectl('create', 'token', 'ensemble-operator').ok().strip()
  config = cluster.json('config', 'view', '--raw')
  path = os.path.join(cluster.directory, 'operator.kubeconfig')
  server = config['clusters'][0]['cluster']
  assert base64.b64decode(server['certificate-authority-data']).startswith(b'-----BEGIN CERTIFICATE')
  with open(path, 'w', encoding='utf-8') as file:
    json.dump({'apiVersion': 'v1', 'kind': 'Config', 'current-context': 'c', 'clusters': [{'name': 'c', 'cluster': server}],
               'users': [{'name': 'u', 'user': {'token': token}}], 'contexts': [{'name': 'c', 'context': {'cluster': 'c', 'user': 'u'}}]}, file)
  return path


def images(cluster):
  pods = cluster.json('get', 'pods', '-l', 'example.com/ensemble=trio')['items']
  return {p['metadata']['name']: p['spec']['containers'][0]['image'] for p in pods}


def test_ensemble(cluster):
  needs_kubectl(27)  # noqa: F821: given by test/run
  python = virtual_environment()
  if not python:
    raise Skip('kopf cannot be installed here')  # noqa: F821
  cluster.kubectl('apply', '-f', os.path.join(EXAMPLE, 'crd.yaml'), '-f', os.path.join(EXAMPLE, 'rbac.yaml')).ok()
  cluster.kubectl('wait', '--for=condition=Established', '--timeout=10s', 'crd/ensembles.example.com').ok()
  wait_for(lambda: cluster.kubectl('get', 'sa', 'default').code == 0, 10, 'the default service account')
  log = open(os.path.join(cluster.directory, 'operator.log'), 'w', encoding='utf-8')
  operator = subprocess.Popen([python, '-m', 'kopf', 'run', '--standalone', '--all-namespaces', os.path.join(EXAMPLE, 'operator.py')],
                              env=os.environ | {'KUBECONFIG': kubeconfig(cluster)}, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
  try:
    walk(cluster)
  except BaseException:
    with open(log.name, encoding='utf-8') as file:
      print(file.read()[-4000:])
    raise
  finally:
    operator.send_signal(signal.SIGTERM)
    operator.wait(20)
    log.close()


def walk(cluster):
  cluster.kubectl('apply', '-f', os.path.join(EXAMPLE, 'ensemble.yaml')).ok()
  first = {'trio-first': 'busybox', 'trio-second': 'busybox:1.36', 'trio-third': 'busybox:musl'}
  wait_for(lambda: images(cluster) == first, 30, 'three pods, three images')
  wait_for(lambda: cluster.json('get', 'ens', 'trio').get('status', {}).get('members') == 3, 10, 'the status')
  assert cluster.kubectl('get', 'ens').ok().splitlines()[0].split() == ['NAME', 'MEMBERS', 'READY', 'AGE']
  uid = cluster.json('get', 'pod', 'trio-first')['metadata']['uid']
  cluster.kubectl('delete', 'pod', 'trio-first', '--wait=false').ok()
  wait_for(lambda: cluster.json('get', 'pod', 'trio-first')['metadata']['uid'] != uid, 20, 'a new pod')
  cluster.kubectl('patch', 'ens', 'trio', '--type=json', '-p', json.dumps([
      {'op': 'replace', 'path': '/spec/members/1/image', 'value': 'busybox:glibc'}, {'op': 'remove', 'path': '/spec/members/2'}])).ok()
  wait_for(lambda: images(cluster) == {'trio-first': 'busybox', 'trio-second': 'busybox:glibc'}, 20, 'another image, one member less')
  cluster.kubectl('patch', 'ens', 'trio', '--type=merge', '-p', '{"spec":{"members":[{"name":"No","image":"x"}]}}').fails('should match')
  cluster.kubectl('delete', 'ens', 'trio').ok()
  wait_for(lambda: images(cluster) == {}, 20, 'its pods gone')
