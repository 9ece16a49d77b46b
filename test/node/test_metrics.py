"""kubectl top without an extra pod, and the node's endpoints that tell what is used."""
import json
import re

from harness.cluster import wait_for

CLUSTER = {'images': ('busybox:latest',)}


def run(cluster, name, script):
  cluster.kubectl('run', name, '--image=busybox:latest', '--image-pull-policy=IfNotPresent', f'--labels=app={name}', '--', 'sh', '-c', script).ok()


def proxy(cluster, path):
  return cluster.kubectl('get', '--raw', f'/api/v1/nodes/{cluster.node_name}/proxy{path}')


def test_top(cluster):
  run(cluster, 'busy', 'while :; do :; done')
  run(cluster, 'idle', 'dd if=/dev/zero of=/dev/shm/x bs=1M count=20 2>/dev/null; sleep 100000')
  cluster.wait_ready('busy')
  cluster.wait_ready('idle')
  out = cluster.kubectl('top', 'node').ok()
  assert re.search(r'^node-1 +\d+m +\d+% +\d+Mi +\d+%', out, re.M), out
  rows = {line.split()[0]: line.split()[1:] for line in cluster.kubectl('top', 'pod').ok().splitlines()[1:]}
  assert int(rows['busy'][0].rstrip('m')) > 200 and int(rows['idle'][0].rstrip('m')) < 100, rows
  assert 20 <= int(rows['idle'][1].rstrip('Mi')) < 60, rows
  assert 'idle' not in cluster.kubectl('top', 'pod', '-l', 'app=busy').ok()
  assert re.search(r'^busy +busy +\d+m', cluster.kubectl('top', 'pod', 'busy', '--containers').ok(), re.M)
  cluster.kubectl('top', 'pod', 'nobody').fails('podmetrics.metrics.k8s.io "default/nobody" not found')
  table = cluster.kubectl('get', 'nodes.metrics.k8s.io').ok()
  assert table.split()[:4] == ['NAME', 'CPU', 'MEMORY', 'WINDOW'], table


def test_who_may(cluster):
  cluster.kubectl('create', 'serviceaccount', 'looker').ok()
  as_looker = ('--as=system:serviceaccount:default:looker',)
  cluster.kubectl('top', 'pod', *as_looker).fails('pods.metrics.k8s.io is forbidden')
  cluster.kubectl('create', 'rolebinding', 'looker', '--clusterrole=view', '--serviceaccount=default:looker').ok()
  wait_for(lambda: cluster.kubectl('top', 'pod', *as_looker).code == 0, 10, 'the right to look')
  cluster.kubectl('top', 'node', *as_looker).fails('nodes.metrics.k8s.io is forbidden')


def test_endpoints_of_the_node(cluster):
  summary = json.loads(proxy(cluster, '/stats/summary').ok())
  node = summary['node']
  assert node['nodeName'] == cluster.node_name and node['fs']['capacityBytes'] > 0 and node['memory']['availableBytes'] > 0
  busy = next(p for p in summary['pods'] if p['podRef']['name'] == 'busy')
  assert busy['podRef']['uid'] == cluster.pod('busy')['metadata']['uid']
  assert [c['name'] for c in busy['containers']] == ['busy'] and busy['containers'][0]['cpu']['usageNanoCores'] > 2e8
  assert busy['cpu']['usageCoreNanoSeconds'] >= busy['containers'][0]['cpu']['usageCoreNanoSeconds'] > 0
  resource = proxy(cluster, '/metrics/resource').ok()
  for pattern in (r'container_cpu_usage_seconds_total\{container="busy",namespace="default",pod="busy"\} \d+\.\d+ \d+',
                  r'pod_memory_working_set_bytes\{namespace="default",pod="idle"\} \d{8} \d+', r'node_cpu_usage_seconds_total \d+\.\d+ \d+',
                  r'resource_scrape_error 0'):
    assert re.search('^' + pattern, resource, re.M), (pattern, resource)
  assert 'container_memory_rss{container="busy",id="/' in proxy(cluster, '/metrics/cadvisor').ok()
  assert proxy(cluster, '/healthz').ok() == 'ok'
  assert {p['metadata']['name'] for p in json.loads(proxy(cluster, '/pods').ok())['items']} >= {'busy', 'idle'}
