"""A full disk: writes are refused with a clear error, reads go on, nothing that was acknowledged is lost, and it works again."""
import json
import os
import subprocess

from harness.cluster import Cluster, Failed, wait_for

SPLIT = False


def config_map(number):
  return json.dumps({'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': f'm{number}'}, 'data': {'k': 'x' * 200_000}})


def test_full_disk():
  cluster = Cluster(node=False)
  os.makedirs(cluster.data)
  subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', cluster.data], check=True)
  try:
    cluster.start()
    kept = 0
    for number in range(100):
      result = cluster.create(config_map(number))
      if result.code != 0:
        assert 'no space' in result.err.lower() or 'full' in result.err.lower(), result.err
        break
      kept = number + 1
    assert 3 <= kept < 100, kept
    assert len(cluster.json('get', 'cm')['items']) == kept + 1, 'reads go on'
    cluster.kill()
    subprocess.run(['mount', '-o', 'remount,size=64m', cluster.data], check=True)
    cluster.start()
    names = {i['metadata']['name'] for i in cluster.json('get', 'cm')['items']}
    assert names == {f'm{n}' for n in range(kept)} | {'kube-root-ca.crt'}, names
    cluster.create(config_map(1000)).ok()
  finally:
    cluster.kill()
    subprocess.run(['umount', cluster.data], check=True)
