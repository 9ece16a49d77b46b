"""What keeps a server from starting: one clear line, an exit code, and nothing lost."""
import os
import socket
import sqlite3
import subprocess
import tempfile
import time

from harness.cluster import BUILD, SEAPOD, Failed, free_port

SPLIT = False


def start(*arguments, data=None, env=None, timeout=20):
  data = data or tempfile.mkdtemp(prefix='seapod-test-start-')
  result = subprocess.run([SEAPOD, 'server', '--data-dir', data, '--bind-address', '127.0.0.1', '--secure-port', str(free_port()), *arguments],
                          capture_output=True, text=True, timeout=timeout, check=False, env=env, stdin=subprocess.DEVNULL)
  return result


def one_line(result, code, *texts):
  lines = [l for l in result.stderr.splitlines() if l.startswith('seapod ')]
  assert result.returncode == code and len(lines) == 1, (result.returncode, result.stderr)
  for text in texts:
    assert text in lines[0], lines
  return lines[0]


def test_port_in_use():
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    s.listen()
    port = s.getsockname()[1]
    one_line(start('--no-node', '--secure-port', str(port)), 1, 'cannot listen', str(port), 'Address already in use')


def test_config_that_cannot_be_read():
  one_line(start('--no-node', '--config', '/no/such/file'), 2, '/no/such/file', 'No such file')
  with tempfile.NamedTemporaryFile('w', suffix='.yaml') as file:
    file.write('bind-adress: 127.0.0.1\n')
    file.flush()
    one_line(start('--no-node', '--config', file.name), 2, 'unknown setting "bind-adress"')
  with tempfile.NamedTemporaryFile('w', suffix='.yaml') as file:
    file.write('a:\n\tb: c\n')
    file.flush()
    one_line(start('--no-node', '--config', file.name), 2, 'line 2')


def test_unknown_flag():
  one_line(start('--no-such-flag'), 2, 'unknown flag "--no-such-flag"')


def test_data_directory_of_a_newer_version():
  data = tempfile.mkdtemp(prefix='seapod-test-start-')
  path = os.path.join(data, 'store.db')
  process = subprocess.Popen([SEAPOD, 'server', '--data-dir', data, '--bind-address', '127.0.0.1', '--secure-port', str(free_port()), '--no-node'],
                             stderr=subprocess.DEVNULL)
  for _ in range(100):
    if os.path.exists(os.path.join(data, 'kubeconfig')):
      break
    time.sleep(0.05)
  process.terminate()
  assert process.wait(20) == 0
  database = sqlite3.connect(path)
  database.execute('pragma user_version = 999')
  database.commit()
  size = os.path.getsize(path)
  database.close()
  one_line(start('--no-node', data=data), 1, 'newer')
  assert os.path.getsize(path) == size


def test_two_servers_on_one_directory():
  data = tempfile.mkdtemp(prefix='seapod-test-start-')
  process = subprocess.Popen([SEAPOD, 'server', '--data-dir', data, '--bind-address', '127.0.0.1', '--secure-port', str(free_port()), '--no-node'],
                             stderr=subprocess.DEVNULL)
  for _ in range(100):
    if os.path.exists(os.path.join(data, 'kubeconfig')):
      break
    time.sleep(0.05)
  try:
    one_line(start('--no-node', data=data), 1, 'in use', str(process.pid))
  finally:
    process.terminate()
    process.wait(20)


def test_missing_crun():
  empty = tempfile.mkdtemp(prefix='seapod-test-start-')
  result = start(env={'PATH': empty})
  assert result.returncode == 1 and 'crun is not installed (apt-get install crun)' in result.stderr, result.stderr


def test_unknown_controller():
  one_line(start('--no-node', '--controllers', '*,-nothing'), 1, 'there is no controller "-nothing"')
