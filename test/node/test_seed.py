"""The pods of the study note behave as it tells."""
import os
import re
import time

from harness.cluster import ROOT, Failed, condition, container_status, wait_for

CLUSTER = {'images': ('busybox:latest', 'ikubernetes/myapp:v1', 'ikubernetes/filebeat:5.6.5-alpine', 'nginx:latest',
                      'ikubernetes/stress-ng:latest', 'saadali/simmemleak:latest'), 'registry': True}


def events(cluster, name):
  items = cluster.json('get', 'events', '--field-selector', f'involvedObject.name={name}')['items']
  return {(e['reason'], e['message']): e.get('count', 1) for e in items}


def test_01_02_preset(cluster):
  """A preset's variable and volume are in the pod's container; a pod that has the variable keeps its own, and an event tells."""
  cluster.seed('02-podpreset-allow-database.yaml')
  cluster.seed('01-pod-website.yaml')
  cluster.create({'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'own-port', 'labels': {'role': 'frontend'}},
                  'spec': {'containers': [{'name': 'c', 'image': 'nginx', 'env': [{'name': 'DB_PORT', 'value': '1'}]}]}}).ok()
  pod = cluster.wait_ready('website')
  version = cluster.json('get', 'podpreset', 'allow-database')['metadata']['resourceVersion']
  assert pod['metadata']['annotations']['podpreset.admission.kubernetes.io/podpreset-allow-database'] == version
  look = 'echo port=$DB_PORT; grep " /cache " /proc/mounts; touch /cache/x && echo written'
  out = cluster.kubectl('exec', 'website', '--', 'sh', '-c', look).ok()
  assert 'port=6379' in out and ' /cache ' in out and 'written' in out, out
  cluster.wait_ready('own-port')
  assert 'port=1' in cluster.kubectl('exec', 'own-port', '--', 'sh', '-c', look).ok()
  wait_for(lambda: ('PodPresetConflict', "preset allow-database differs in variable DB_PORT from the pod's container c, which keeps its own")
           in events(cluster, 'own-port'), 10, 'the event')
  cluster.kubectl('delete', '-f', os.path.join(ROOT, 'test/seed/02-podpreset-allow-database.yaml')).ok()
  assert cluster.pod('website')['spec']['containers'][0]['env'] == [{'name': 'DB_PORT', 'value': '6379'}]
  cluster.kubectl('delete', 'pod', 'website', 'own-port', '--wait=false').ok()


def test_03_liveness_exec(cluster):
  """The file goes after 30 s; three failures later the container is started anew, on the same node, in the same sandbox."""
  cluster.seed('03-liveness-exec.yaml')
  pod = cluster.wait_ready('liveness-exec-pod')
  assert pod['status']['phase'] == 'Running'
  first = container_status(pod)
  pod = cluster.wait_pod('liveness-exec-pod', lambda p: container_status(p)['restartCount'] == 1, 75)
  again = container_status(pod)
  assert again['containerID'] != first['containerID']
  assert again['lastState']['terminated']['exitCode'] == 137, again['lastState']
  assert pod['status']['podIP'] and pod['spec']['nodeName'] == cluster.node_name
  seen = events(cluster, 'liveness-exec-pod')
  reasons = {reason for reason, _ in seen}
  assert {'Scheduled', 'Pulled', 'Created', 'Started', 'Unhealthy', 'Killing'} <= reasons, seen
  assert ('Killing', 'Container liveness-exec-container failed liveness probe, will be restarted') in seen, seen
  assert sum(n for (reason, _), n in seen.items() if reason == 'Unhealthy') >= 3, seen


def test_05_readiness_walk(cluster):
  """Delete index.html by exec: 0/1; put it back: 1/1; never a restart."""
  name = 'readiness-httpget-pod'
  cluster.seed('05-readiness-httpget.yaml')
  cluster.wait_ready(name)
  assert '1/1' in cluster.kubectl('get', 'pod', name).ok()
  watch = cluster.popen('get', 'pods', name, '-w', stdout=-1, text=True)
  cluster.kubectl('exec', name, '--', 'mv', '/usr/share/nginx/html/index.html', '/tmp/').ok()
  cluster.wait_pod(name, lambda p: condition(p, 'Ready') == 'False', 30)
  assert '0/1' in cluster.kubectl('get', 'pod', name).ok()
  cluster.kubectl('exec', name, '--', 'mv', '/tmp/index.html', '/usr/share/nginx/html/').ok()
  pod = cluster.wait_ready(name, 30)
  assert container_status(pod)['restartCount'] == 0
  time.sleep(0.3)
  watch.terminate()
  walk = re.findall(r'(\d/1)\s+Running', watch.communicate()[0])
  assert walk[0] == '1/1' and '0/1' in walk and walk[-1] == '1/1', walk
  assert any('HTTP probe failed with statuscode: 404' in message for reason, message in events(cluster, name) if reason == 'Unhealthy')


def test_15_toleration(cluster):
  """A cordoned node takes the pod that tolerates it, and no other."""
  cluster.kubectl('cordon', cluster.node_name).ok()
  try:
    wait_for(lambda: any(t['key'] == 'node.kubernetes.io/unschedulable'
                         for t in cluster.json('get', 'node', cluster.node_name)['spec'].get('taints', [])), 10, 'the taint')
    cluster.seed('15-pod-toleration.yaml')
    cluster.kubectl('run', 'other', '--image=busybox:latest', '--image-pull-policy=IfNotPresent', '--', 'sleep', '1000').ok()
    cluster.wait_ready('with-toleration')
    pod = cluster.wait_pod('other', lambda p: condition(p, 'PodScheduled') == 'False', 10)
    assert pod['status']['phase'] == 'Pending'
    message = next(c['message'] for c in pod['status']['conditions'] if c['type'] == 'PodScheduled')
    assert message.startswith('0/1 nodes are available: 1 node(s) were unschedulable'), message
  finally:
    cluster.kubectl('uncordon', cluster.node_name).ok()
  cluster.wait_ready('other')


def test_17_env(cluster):
  cluster.seed('17-pod-with-env.yaml')
  cluster.wait_ready('pod-with-env')
  out = cluster.kubectl('exec', 'pod-with-env', '--', 'env').ok()
  assert 'REDIS_HOST=db.xurick.com:6379' in out and 'LOG_LEVEL=info' in out
  assert 'HOSTNAME=pod-with-env' in out and 'KUBERNETES_SERVICE_HOST=' + cluster.service_cidr.replace('.0/16', '.1') in out
  assert 'shipping to db.xurick.com:6379 at info' in cluster.kubectl('logs', 'pod-with-env').ok()


def test_18_liveness_message(cluster):
  """The probe's own words are in the event, and describe shows them."""
  cluster.seed('18-test-liveness-exec.yaml')  # no tag: pulled always, from the registry
  cluster.wait_ready('test-liveness-exec')
  text = "Liveness probe failed: cat: can't open '/tmp/healthy': No such file or directory"
  wait_for(lambda: text in cluster.kubectl('describe', 'pod', 'test-liveness-exec').ok(), 60, 'the Unhealthy event', 1)
  out = cluster.kubectl('describe', 'pod', 'test-liveness-exec').ok()
  assert 'Successfully pulled image "busybox"' in out, out


def test_14_affinity_by_field_stays_pending(cluster):
  cluster.seed('14-pod-node-affinity.yaml')
  pod = cluster.wait_pod('with-node-affinity', lambda p: condition(p, 'PodScheduled') == 'False', 10)
  message = next(c['message'] for c in pod['status']['conditions'] if c['type'] == 'PodScheduled')
  assert message.startswith("0/1 nodes are available: 1 node(s) didn't satisfy plugin(s) [NodeAffinity]"), message


def test_affinity_by_a_label_named_metadata_name_stays_pending(cluster):
  """The note writes matchExpressions where matchFields is meant: valid, a label of that name is thinkable, but no node has it."""
  pod = {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'by-label'}, 'spec': {
      'affinity': {'nodeAffinity': {'requiredDuringSchedulingIgnoredDuringExecution': {'nodeSelectorTerms': [
          {'matchExpressions': [{'key': 'metadata.name', 'operator': 'In', 'values': [cluster.node_name]}]}]}}},
      'containers': [{'name': 'c', 'image': 'busybox:latest', 'imagePullPolicy': 'IfNotPresent', 'command': ['sleep', '1000']}]}}
  cluster.create(pod).ok()
  pending = cluster.wait_pod('by-label', lambda p: condition(p, 'PodScheduled') == 'False', 10)
  message = next(c['message'] for c in pending['status']['conditions'] if c['type'] == 'PodScheduled')
  assert pending['status']['phase'] == 'Pending' and "1 node(s) didn't match Pod's node affinity/selector" in message, message


def test_a_pod_never_moves(cluster):
  """spec.nodeName of a bound pod can't be changed: 422."""
  result = cluster.kubectl('patch', 'pod', 'pod-with-env', '-p', '{"spec":{"nodeName":"elsewhere"}}')
  result.fails('is invalid', 'pod updates may not change fields other than')


def test_06_stress(cluster):
  """Its requests are what is set aside for it, no limit: it takes what is free; top in it shows it."""
  cluster.seed('06-stress-requests.yaml')
  pod = cluster.wait_ready('stress-pod')
  assert pod['status']['qosClass'] == 'Burstable'
  wait_for(lambda: 'stress-ng' in cluster.kubectl('exec', 'stress-pod', '--', 'top', '-b', '-n1').ok(), 10, 'stress-ng in top')
  shares = cluster.kubectl('exec', 'stress-pod', '--', 'sh', '-c',
                           'cat /sys/fs/cgroup/cpu/cpu.shares 2>/dev/null || cat /sys/fs/cgroup/cpu.weight').ok()
  assert shares.strip() in ('204', '8'), shares  # 200m of 1024 a CPU; the same as a weight
  wait_for(lambda: int(cluster.kubectl('top', 'pod', 'stress-pod').ok().split()[-2].rstrip('m')) > 200, 20, 'more than it asked for')
  cluster.kubectl('delete', 'pod', 'stress-pod', '--grace-period=1').ok()


def test_07_memory_leak(cluster):
  """Limits and requests are equal: Guaranteed. What takes more memory than that is killed, and tried again."""
  cluster.seed('07-memleak-limits.yaml')
  pod = cluster.wait_pod('memleak-pod', lambda p: container_status(p)['restartCount'] >= 1 and
                         'OOMKilled' in str(container_status(p).get('lastState')), 40)
  assert pod['status']['qosClass'] == 'Guaranteed'
  assert container_status(pod)['lastState']['terminated']['exitCode'] == 137
  cluster.wait_pod('memleak-pod', lambda p: container_status(p)['state'].get('waiting', {}).get('reason') == 'CrashLoopBackOff', 40)
  assert 'OOMKilled' in cluster.kubectl('describe', 'pod', 'memleak-pod').ok()
  cluster.kubectl('delete', 'pod', 'memleak-pod').ok()
