"""An image store of its own for a test, driven by the real seapod-image."""
import contextlib
import json
import os
import shutil
import subprocess
import tempfile

from .cluster import BUILD, Result

PROGRAM = os.path.join(BUILD, 'seapod-image')
OK, OTHER, USAGE, NOT_FOUND, DENIED, NETWORK, BAD_DATA = 0, 1, 2, 3, 4, 5, 6  # exit codes


class Store:
  """A data directory of its own. Checks at the end that nothing was left in tmp/, nor a mount or process."""

  def __init__(self):
    self.folder = tempfile.mkdtemp(prefix='seapod-image-')
    self.data = os.path.join(self.folder, 'data')
    self.store = os.path.join(self.data, 'images-store')

  def __enter__(self):
    return self

  def __exit__(self, kind, *_):
    try:
      if kind is None:
        assert self.folder not in open('/proc/self/mounts', encoding='utf-8').read()
        assert not stages(self.data), stages(self.data)
    finally:
      shutil.rmtree(self.folder)

  def command(self, *words):
    return [PROGRAM, words[0], '--data-dir', self.data, *words[1:]]

  def __call__(self, *words, stdin=None):
    return Result(subprocess.run(self.command(*words), capture_output=True, text=stdin is None, input=stdin, check=False))

  def events(self, *words):
    return [json.loads(line) for line in self(*words, '--json').ok().splitlines()]

  def image(self, *words):
    return [e for e in self.events(*words) if e['type'] == 'image'][-1]

  def write(self, name, data):
    path = os.path.join(self.folder, name)
    with open(path, 'wb') as file:
      file.write(data)
    return path

  def names(self):
    return sorted(n for i in self.events('list') for n in i['repoTags'] + i['repoDigests'])

  def layers(self):
    return sorted(os.listdir(os.path.join(self.store, 'layers')))

  def tree(self, layer):
    return os.path.join(self.store, 'layers', layer.removeprefix('sha256:'), 'fs')

  def rootfs(self, data, *words, name='test'):
    """Imports a tar as an image of one layer and returns the layer's tree."""
    return self.tree(self.image('import', '--rootfs', '--name', name, *words, self.write('layer.tar', data))['diffIds'][0])

  def is_empty(self):
    kept = {k: os.listdir(os.path.join(self.store, k)) for k in ('layers', 'images', 'summaries', 'blobs/sha256', 'pins', 'tmp')}
    if any(kept.values()):
      print(kept)
    return not any(kept.values())


def stages(data):
  """Processes of ours that still run."""
  found = []
  for pid in filter(str.isdigit, os.listdir('/proc')):
    with contextlib.suppress(OSError):
      words = open(f'/proc/{pid}/cmdline', 'rb').read().split(b'\0')
      if data.encode() in words:
        found.append(words)
  return found


def fails(result, code, *texts):
  result.fails(*texts)
  assert result.code == code, f'exit code {result.code}, not {code}: {result.err}'
  return result.err
