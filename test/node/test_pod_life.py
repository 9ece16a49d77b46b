"""Phases, conditions, restarts, backoff and the end of pods."""
import time

from harness.cluster import Failed, condition, container_status, wait_for

CLUSTER = {'images': ('busybox:latest',)}


def pod(name, script, policy='Always', **spec):
  container = {'name': 'c', 'image': 'busybox:latest', 'imagePullPolicy': 'IfNotPresent', 'command': ['/bin/sh', '-c', script]}
  container.update(spec.pop('container', {}))
  return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name},
          'spec': {'restartPolicy': policy, 'terminationGracePeriodSeconds': 2, 'containers': [container], **spec}}


def phase_is(phase):
  return lambda p: p['status']['phase'] == phase


def test_succeeded(cluster):
  cluster.create(pod('good', 'exit 0', 'Never')).ok()
  done = cluster.wait_pod('good', phase_is('Succeeded'))
  state = container_status(done)['state']['terminated']
  assert state['exitCode'] == 0 and state['reason'] == 'Completed'
  assert condition(done, 'Ready') == 'False' and condition(done, 'Initialized') == 'True'
  assert next(c['reason'] for c in done['status']['conditions'] if c['type'] == 'Ready') == 'PodCompleted'
  assert 'Completed' in cluster.kubectl('get', 'pod', 'good').ok()


def test_failed(cluster):
  cluster.create(pod('bad', 'echo last words; exit 3', 'Never')).ok()
  done = cluster.wait_pod('bad', phase_is('Failed'))
  state = container_status(done)['state']['terminated']
  assert state['exitCode'] == 3 and state['reason'] == 'Error'
  assert container_status(done)['restartCount'] == 0
  assert cluster.kubectl('logs', 'bad').ok() == 'last words\n'


def test_on_failure_restarts_failures_only(cluster):
  script = 'n=$(cat /data/n 2>/dev/null || echo 0); echo $((n + 1)) > /data/n; test "$n" -ge 1'
  spec = pod('flaky', script, 'OnFailure', container={'volumeMounts': [{'name': 'data', 'mountPath': '/data'}]},
             volumes=[{'name': 'data', 'emptyDir': {}}])
  cluster.create(spec).ok()
  done = cluster.wait_pod('flaky', phase_is('Succeeded'))
  assert container_status(done)['restartCount'] == 1
  assert container_status(done)['lastState']['terminated']['exitCode'] == 1


def test_crash_loop_backoff(cluster):
  """At once, then after 10 s, then 20 s: and between, CrashLoopBackOff."""
  cluster.create(pod('crash', 'exit 1')).ok()
  waiting = cluster.wait_pod('crash', lambda p: container_status(p)['state'].get('waiting', {}).get('reason') == 'CrashLoopBackOff')
  status = container_status(waiting)
  assert status['restartCount'] == 1, status
  assert 'back-off 10s restarting failed container=c pod=crash_default(' in status['state']['waiting']['message']
  assert waiting['status']['phase'] == 'Running' and condition(waiting, 'Ready') == 'False'
  assert 'CrashLoopBackOff' in cluster.kubectl('get', 'pod', 'crash').ok()
  second = cluster.wait_pod('crash', lambda p: container_status(p)['restartCount'] == 2, 20)
  ended = container_status(second)['lastState']['terminated']['finishedAt']
  third = cluster.wait_pod('crash', lambda p: 'back-off 20s' in container_status(p)['state'].get('waiting', {}).get('message', ''), 5)
  assert container_status(third)['restartCount'] == 2 and ended
  text = cluster.kubectl('describe', 'pod', 'crash').ok()
  assert 'Back-off restarting failed container c in pod crash_default(' in text


def test_logs_of_the_attempt_before(cluster):
  cluster.create(pod('twice', 'echo run; sleep 1; exit 1')).ok()
  cluster.wait_pod('twice', lambda p: container_status(p)['restartCount'] >= 1)
  assert cluster.kubectl('logs', 'twice', '-p').ok() == 'run\n'


def test_conditions_of_a_running_pod(cluster):
  cluster.create(pod('runs', 'sleep 1000')).ok()
  running = cluster.wait_ready('runs')
  for kind in ('PodScheduled', 'PodReadyToStartContainers', 'Initialized', 'ContainersReady', 'Ready'):
    assert condition(running, kind) == 'True', kind
  assert running['status']['qosClass'] == 'BestEffort'
  assert running['status']['hostIP'] and running['status']['startTime']


def test_init_containers_run_in_order(cluster):
  spec = pod('init', 'cat /data/order; sleep 1000', container={'volumeMounts': [{'name': 'data', 'mountPath': '/data'}]},
             volumes=[{'name': 'data', 'emptyDir': {}}])
  spec['spec']['initContainers'] = [
      {'name': f'i{n}', 'image': 'busybox:latest', 'imagePullPolicy': 'IfNotPresent', 'command': ['/bin/sh', '-c', f'echo {n} >> /data/order'],
       'volumeMounts': [{'name': 'data', 'mountPath': '/data'}]} for n in (1, 2, 3)]
  cluster.create(spec).ok()
  cluster.wait_ready('init')
  assert cluster.kubectl('logs', 'init', '-c', 'c').ok() == '1\n2\n3\n'


def test_a_failing_init_container_fails_the_pod(cluster):
  spec = pod('noinit', 'sleep 1000', 'Never')
  spec['spec']['initContainers'] = [{'name': 'i', 'image': 'busybox:latest', 'imagePullPolicy': 'IfNotPresent', 'command': ['false']}]
  cluster.create(spec).ok()
  failed = cluster.wait_pod('noinit', phase_is('Failed'))
  assert 'state' not in container_status(failed) or 'running' not in container_status(failed)['state']
  assert 'Init:Error' in cluster.kubectl('get', 'pod', 'noinit').ok()


def test_delete_with_grace(cluster):
  """SIGTERM first; what ignores it is killed after the grace period."""
  cluster.create(pod('polite', 'trap "echo bye; exit 0" TERM; while :; do sleep 0.1; done')).ok()
  cluster.wait_ready('polite')
  began = time.monotonic()
  cluster.kubectl('delete', 'pod', 'polite', '--grace-period=30').ok()
  assert time.monotonic() - began < 10
  cluster.kubectl('get', 'pod', 'polite').fails('pods "polite" not found')
  cluster.create(pod('stubborn', 'trap "" TERM; while :; do sleep 0.1; done')).ok()
  cluster.wait_ready('stubborn')
  began = time.monotonic()
  cluster.kubectl('delete', 'pod', 'stubborn').ok()
  assert 1.5 < time.monotonic() - began < 15


def test_delete_by_force(cluster):
  cluster.create(pod('forced', 'trap "" TERM; while :; do sleep 0.1; done', terminationGracePeriodSeconds=600)).ok()
  cluster.wait_ready('forced')
  began = time.monotonic()
  cluster.kubectl('delete', 'pod', 'forced', '--grace-period=0', '--force').ok()
  assert time.monotonic() - began < 10


def test_active_deadline(cluster):
  cluster.create(pod('late', 'sleep 1000', activeDeadlineSeconds=1)).ok()
  ended = cluster.wait_pod('late', phase_is('Failed'), 30)
  assert ended['status']['reason'] == 'DeadlineExceeded'


def test_termination_message(cluster):
  cluster.create(pod('words', 'echo -n because > /dev/termination-log; exit 1', 'Never')).ok()
  ended = cluster.wait_pod('words', phase_is('Failed'))
  assert container_status(ended)['state']['terminated']['message'] == 'because'


def test_generation_is_observed(cluster):
  got = cluster.wait_ready('runs')
  assert got['metadata']['generation'] == got['status']['observedGeneration']


def test_namespace_takes_its_pods_along(cluster):
  cluster.kubectl('create', 'namespace', 'short').ok()
  spec = pod('p', 'sleep 1000')
  spec['metadata']['namespace'] = 'short'
  wait_for(lambda: cluster.create(spec).code == 0, 10, 'the service account')
  cluster.wait_ready('p', namespace='short')
  cluster.kubectl('delete', 'namespace', 'short', timeout=60).ok()
  cluster.kubectl('get', 'namespace', 'short').fails('not found')
