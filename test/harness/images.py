"""Images made from Debian packages under the names that the manifests use."""
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile

from . import registry

WAIT = 'trap "exit 0" TERM; while :; do sleep 1000000 & wait; done'

# name -> (entrypoint, command, files): each is busybox with something on top.
RECIPES = {
    'busybox:latest': (None, ['sh'], {}),
    # An HTTP server with an index page, as the seed's myapp.
    'ikubernetes/myapp:v1': (None, ['httpd', '-f', '-p', '80', '-h', '/usr/share/nginx/html'],
                             {'usr/share/nginx/html/index.html': 'Hello MyApp | Version: v1\n'}),
    'nginx:latest': (None, ['httpd', '-f', '-p', '80', '-h', '/usr/share/nginx/html'],
                     {'usr/share/nginx/html/index.html': 'Welcome to nginx!\n'}),
    # Something that reads its environment and goes on.
    'ikubernetes/filebeat:5.6.5-alpine': (['/bin/sh', '-c'], ['echo "shipping to $REDIS_HOST at $LOG_LEVEL"; ' + WAIT], {}),
    # As the seed's sets want them, and ending when they are told to.
    'nginx:1.9.1': (None, ['sh', '-c', 'httpd -p 80 -h /usr/share/nginx/html; ' + WAIT], {'usr/share/nginx/html/index.html': 'Welcome to nginx!\n'}),
    'k8s.gcr.io/fluentd-elasticsearch:1.20': (None, ['sh', '-c', WAIT], {}),
    # busybox's own wget is linked statically and resolves no names; these are Debian's, with libc's resolver.
    'tools:latest': (None, ['sh'], lambda: programs('/usr/bin/curl', '/usr/bin/getent', '/usr/bin/openssl', '/usr/bin/perl')),
    # Takes more and more memory.
    'saadali/simmemleak:latest': (None, ['sh', '-c', 'word=0123456789abcdef; while :; do word=$word$word; sleep 0.1; done'], {}),
    'ikubernetes/stress-ng:latest': (None, ['/usr/bin/stress-ng'], lambda: stress_ng()),
}
_cache = {}


def _add(tar, path, data=b'', mode=0o644, kind=tarfile.REGTYPE, link=''):
  info = tarfile.TarInfo(path)
  info.size, info.mode, info.type, info.linkname = len(data), mode, kind, link
  tar.addfile(info, io.BytesIO(data))


def rootfs(files):
  """A tar of a busybox root with these files on top."""
  busybox = shutil.which('busybox')
  out = io.BytesIO()
  with tarfile.open(fileobj=out, mode='w') as tar:
    for directory in ('bin', 'dev', 'etc', 'home', 'proc', 'root', 'sys', 'usr', 'usr/bin', 'usr/share', 'var', 'var/log', 'var/run'):
      _add(tar, directory, mode=0o755, kind=tarfile.DIRTYPE)
    _add(tar, 'tmp', mode=0o1777, kind=tarfile.DIRTYPE)
    with open(busybox, 'rb') as file:
      _add(tar, 'bin/busybox', file.read(), 0o755)
    for applet in subprocess.run([busybox, '--list'], capture_output=True, text=True, check=True).stdout.split():
      if applet != 'busybox':
        _add(tar, 'bin/' + applet, mode=0o777, kind=tarfile.SYMTYPE, link='busybox')
    _add(tar, 'etc/passwd', b'root:x:0:0:root:/root:/bin/sh\nwww:x:1000:1000:www:/home:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n')
    _add(tar, 'etc/group', b'root:x:0:\nwww:x:1000:\nnogroup:x:65534:\n')
    made = set()
    for path, text in files.items():
      parts = path.split('/')[:-1]
      for i in range(1, len(parts) + 1):
        parent = '/'.join(parts[:i])
        if parent not in made and parent not in ('usr', 'usr/share', 'etc', 'bin'):
          _add(tar, parent, mode=0o755, kind=tarfile.DIRTYPE)
          made.add(parent)
      _add(tar, path, *(text if isinstance(text, tuple) else (text.encode(),)))
  return out.getvalue()


def programs(*paths):
  """This host's programs with the libraries that they are linked against, as files of an image."""
  files = {}
  for path in paths:
    lines = subprocess.run(['ldd', path], capture_output=True, text=True, check=True).stdout
    for file in (path, *re.findall(r'(/\S+) \(0x', lines)):
      with open(file, 'rb') as source:
        files[file.lstrip('/')] = (source.read(), 0o755)
  return files


def stress_ng():
  """Debian's. The version that the seed's manifest was written for reads "-m 1" as one word, and -metrics-brief."""
  files = programs('/usr/bin/stress-ng')
  files['usr/libexec/stress-ng'] = files.pop('usr/bin/stress-ng')
  files['usr/bin/stress-ng'] = (b'''#!/bin/sh
words=
for word; do
  [ "$word" = -metrics-brief ] && word=--metrics-brief
  words="$words $word"
done
exec /usr/libexec/stress-ng $words
''', 0o755)
  return files


def archive(name):
  if name not in _cache:
    files = RECIPES[name][2]
    _cache[name] = rootfs(files() if callable(files) else files)
  return _cache[name]


def make(seapod, data, name):
  """Makes the image and imports it into that data directory."""
  entrypoint, command, _ = RECIPES[name]
  with tempfile.NamedTemporaryFile(suffix='.tar') as file:
    file.write(archive(name))
    file.flush()
    arguments = [seapod, 'image', 'import', '--data-dir', data, '--name', name]
    for word in entrypoint or []:
      arguments += ['--entrypoint', word]
    for word in command or []:
      arguments += ['--cmd', word]
    subprocess.run([*arguments, file.name], check=True, capture_output=True)


def push(docker_registry, name):
  return push_as(docker_registry, name, name)


def push_as(docker_registry, name, as_name):
  """The same image in a registry, under docker.io's names."""
  entrypoint, command, _ = RECIPES[name]
  image = registry.Image(archive(name), config={'Entrypoint': entrypoint, 'Cmd': command})
  repository, tag = as_name.split(':')
  path = repository if '/' in repository else 'library/' + repository
  with tempfile.TemporaryDirectory() as folder:
    image.write_layout(folder, tag)
    docker_registry.copy(f'oci:{folder}:{tag}', f'{path}:{tag}')
  return image
