"""tools/kinds.py: what it accepts, what it refuses and how it says so."""
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.environ.get('TEST_SOURCE_ROOT', os.path.join(os.path.dirname(__file__), '../../..'))
sys.path.insert(0, os.path.join(ROOT, 'tools'))
import kinds  # noqa: E402

HEAD = 'group test test.io v1\npackage io.test.v1\n'
META = HEAD + '''
type TypeMeta: About the object.
  1 kind string - Kind.
  2 apiVersion string - Version.
type ObjectMeta: Data.
  1 name string - Name.
type ListMeta: Data.
  2 resourceVersion string - Version.
'''


def model(text):
  return kinds.Model([kinds.parse_file('f.kinds', text)])


def find(loaded, name):
  return [t for t in loaded.types if t.name == name][0]


class Refused(unittest.TestCase):
  def check(self, text, message):
    with self.assertRaises(kinds.KindsError) as caught:
      model(text)
    self.assertEqual(str(caught.exception), message)

  def field(self, line, message):
    self.check(META + 'type T: Text.\n  %s\n' % line, 'f.kinds:12: ' + message)

  def test_files(self):
    self.check('', 'f.kinds:1: the file wants a group and a package')
    self.check('type T: x\n', 'f.kinds:1: the file does not begin with a group')
    self.check(HEAD + '\ttype T: x\n', 'f.kinds:3: tabs are not allowed')
    self.check(HEAD + 'sort T: x\n', 'f.kinds:3: unknown keyword "sort"')
    self.check(HEAD + '  1 a string - A.\n', 'f.kinds:3: an indented line that belongs to nothing')
    self.check(META + 'type T: A.\ntype T: B.\n',
               'f.kinds:12: type T is declared at f.kinds:11 already')

  def test_fields(self):
    self.field('1 a', 'a field is NUMBER NAME TYPE ATTRIBUTES - TEXT')
    self.field('0 a string - A.', 'bad field number "0"')
    self.field('1 a strnig - A.', 'unknown type "strnig"')
    self.field('1 a string requierd - A.', 'unknown attribute "requierd"')
    self.field('1 a string enum=A|A - A.', 'enum names a value twice')
    self.field('1 a int32 enum=A|B - A.', 'enum wants a string')
    self.field('1 a int32 range=1-2 - A.', 'range wants LOW..HIGH, not "1-2"')
    self.field('1 a string range=1..2 - A.', 'range wants an integer')
    self.field('1 a string format=url - A.', 'unknown format "url"')
    self.field('1 a string list=set - A.', 'list=atomic|set|map, and only on a list')
    self.field('1 a []ObjectMeta list=map - A.', 'list=map and key= go together')
    self.field('1 a []ObjectMeta list=map key=id - A.', 'ObjectMeta has no field "id" to be a key')
    self.field('1 a []ObjectMeta patch=merge:id - A.',
               'ObjectMeta has no field "id" to be a patch merge key')
    self.field('1 a ObjectMeta inline - A.', 'an inline field is called "-" and is a plain object')
    self.field('1 - string inline - A.', 'an inline field wants a type of fields')
    self.field('1 a T - A.', 'T contains itself; make it a pointer or a list')
    self.field('1 a string default=x - A.',
               'default is not JSON: Expecting value: line 1 column 1 (char 0)')

  def test_numbers_and_names_once(self):
    self.check(META + 'type T: A.\n  1 a string - A.\n  1 b string - B.\n',
               'f.kinds:13: T has number 1 twice')
    self.check(META + 'type T: A.\n  1 a string - A.\n  2 a string - B.\n',
               'f.kinds:13: T has two fields "a"')

  def test_resources(self):
    kind = META + 'kind Thing: A.\n  1 metadata ObjectMeta - A.\n'
    self.check(kind + 'resource things Thing\n',
               'f.kinds:13: scope=namespaced or scope=cluster is missing')
    self.check(kind + 'resource things Thing scope=cluster verbs=get,put\n',
               'f.kinds:13: unknown verb "put"')
    self.check(kind + 'resource things Thing scope=cluster\n  fields spec.x\n',
               'f.kinds:13: Thing has no field "spec" (in "spec.x")')
    self.check(kind + 'resource things Thing scope=cluster\n  column Name string - N = name\n',
               'f.kinds:14: a cell is .path, function() or function(.path), not "name"')
    self.check(kind + 'resource things Thing scope=cluster\n  subresource x create y/v1 Z\n',
               'f.kinds:14: unknown group y/v1')

  def test_rules_of_two_sorts(self):
    self.check(META + 'kind Thing rules=thing: A.\n  1 metadata ObjectMeta - A.\n'
               'resource things Thing scope=cluster rules=thing\n',
               'f.kinds:13: rules=thing names rules of a type and of a resource')


class Accepted(unittest.TestCase):
  def test_text_goes_on_in_deeper_lines(self):
    loaded = model(META + 'type T: One\n  two.\n  1 a string - three\n     four.\n  2 b bool - B.\n')
    self.assertEqual(find(loaded, 'T').doc, 'One two.')
    self.assertEqual(find(loaded, 'T').fields[0].doc, 'three four.')
    self.assertEqual(len(find(loaded, 'T').fields), 2)

  def test_listable_resources_get_a_list_kind(self):
    loaded = model(META + 'kind Thing: A.\n  1 metadata ObjectMeta - A.\n'
                   'resource things Thing scope=cluster\n')
    names = [f.name for f in kinds.flat_fields(loaded, find(loaded, 'ThingList'))]
    self.assertEqual(names, ['kind', 'apiVersion', 'metadata', 'items'])

  def test_names_in_c(self):
    for name, expected in (('podIPs', 'pod_ips'), ('hostPID', 'host_pid'), ('default', 'default_'),
                           ('awsElasticBlockStore', 'aws_elastic_block_store'), ('$ref', 'ref'),
                           ('x-kubernetes-group', 'x_kubernetes_group'), ('linux', 'linux_'),
                           ('nonResourceURLs', 'non_resource_urls'), ('Port', 'port'),
                           ('insecureSkipTLSVerifyBackend', 'insecure_skip_tls_verify_backend'),
                           ('setHostnameAsFQDN', 'set_hostname_as_fqdn'), ('scaleIO', 'scale_io')):
      self.assertEqual(kinds.snake(name), expected)

  def test_recursive_types_compile(self):
    text = META + '''
type Schema: Describes itself.
  1 $ref   string - A.
  2 not    *Schema - A.
  3 allOf  []Schema - A.
  4 properties map Schema - A.
  5 default raw - A.
  6 - Inner inline
  7 count *int64 default=3 range=..5 - A.
type Inner: Comes later and is embedded.
  1 x int32 - A.
  2 back *Schema - A.
type Empty: Nothing.
kind Thing: A.
  1 metadata ObjectMeta - A.
resource things Thing scope=cluster
'''
    with tempfile.TemporaryDirectory() as directory:
      path = os.path.join(directory, 'f.kinds')
      with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
      out = os.path.join(directory, 'kinds')
      subprocess.run([sys.executable, os.path.join(ROOT, 'tools/kinds.py'), '--out', out, path],
                     check=True)
      subprocess.run(['cc', '-std=gnu17', '-Wall', '-Wextra', '-Werror', '-fsyntax-only',
                      '-I' + directory, '-I' + os.path.join(ROOT, 'src'),
                      os.path.join(out, 'kinds.c')], check=True)

  def test_files_of_groups_that_are_not_served_yet(self):
    folder = os.path.join(ROOT, 'kinds')
    paths = sorted(os.path.join(folder, f) for f in os.listdir(folder) if f.endswith('.kinds'))
    loaded = kinds.load(paths)
    with open(os.path.join(folder, 'meson.build'), encoding='utf-8') as file:
      served = file.read()
    for group in loaded.groups:
      for kind in group.types:
        self.assertTrue(kind.doc, kind.where)
        for field in kind.fields:
          self.assertTrue(field.doc or field.inline, field.where)
      if os.path.basename(group.file_name) not in served:
        self.assertEqual(group.resources, [], group.file_name)

  def test_a_fault_ends_the_program_with_its_place(self):
    with tempfile.NamedTemporaryFile('w', suffix='.kinds') as file:
      file.write(HEAD + 'type T\n')
      file.flush()
      result = subprocess.run([sys.executable, os.path.join(ROOT, 'tools/kinds.py'), '--check',
                               file.name], stderr=subprocess.PIPE, text=True, check=False)
      self.assertEqual(result.returncode, 1)
      self.assertEqual(result.stderr,
                       '%s:3: a type is "type NAME ATTRIBUTES: TEXT"\n' % file.name)


if __name__ == '__main__':
  unittest.main()
