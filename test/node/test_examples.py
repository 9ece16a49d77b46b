"""Each file of examples/ does what its README says."""
import os
import subprocess

from harness.cluster import ROOT, container_status, wait_for

CLUSTER = {'images': ('busybox:latest',)}
SPLIT = False


def apply(cluster, name):
  cluster.kubectl('apply', '-f', os.path.join(ROOT, 'examples', name + '.yaml')).ok()


def test_hello(cluster):
  apply(cluster, 'hello')
  cluster.wait_ready('hello')
  assert cluster.kubectl('logs', 'hello').ok().startswith(f'hello from a pod on {cluster.node_name}\n')


def test_config(cluster):
  apply(cluster, 'config')
  cluster.wait_pod('config', lambda p: p['status']['phase'] == 'Succeeded')
  lines = cluster.kubectl('logs', 'config').ok().splitlines()
  assert lines[:2] == ['colour green', 'welcome aboard'] and lines[2].startswith('-r-------- '), lines


def test_sidecar(cluster):
  apply(cluster, 'sidecar')
  cluster.wait_ready('sidecar')
  page = os.path.join(cluster.directory, 'page.html')
  cluster.kubectl('cp', '-c', 'web', 'sidecar:/pages/index.html', page).ok()
  assert os.path.getsize(page)
  ip = cluster.pod('sidecar')['status']['podIP']
  assert subprocess.run(['curl', '-fsS', f'http://{ip}:8080/'], capture_output=True, check=True).stdout


def test_probes(cluster):
  apply(cluster, 'probes')
  pod = cluster.wait_pod('probes', lambda p: p['status'].get('containerStatuses') and container_status(p).get('started'))
  assert not container_status(pod)['ready']
  cluster.wait_ready('probes')
  cluster.wait_pod('probes', lambda p: container_status(p)['restartCount'] == 1, 60, what='a restart')
  wait_for(lambda: 'Container web failed liveness probe, will be restarted' in cluster.kubectl('describe', 'pod', 'probes').ok(), 5, 'the event')
  cluster.wait_ready('probes')


def test_all_go_away(cluster):
  cluster.kubectl('delete', '-f', os.path.join(ROOT, 'examples')).ok()
  assert cluster.kubectl('get', 'pods').err.startswith('No resources found')
