"""`make install` puts everything where it belongs, and the manual page tells of every flag."""
import configparser
import os
import re
import stat
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
SEAPOD = os.path.join(os.environ['BUILD'], 'seapod')
PROGRAMS = ('bin/seapod', 'lib/seapod/seapod-image', 'lib/seapod/seapod-pause')


class InstallTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        subprocess.run(['make', '-s', 'install'], cwd=ROOT, check=True, env={**os.environ, 'DESTDIR': cls.folder.name})
        cls.prefix = os.path.join(cls.folder.name, 'usr/local')

    def test_everything_is_in_its_place(self):
        found = sorted(os.path.relpath(os.path.join(d, f), self.prefix) for d, _, files in os.walk(self.folder.name) for f in files)
        self.assertEqual(found, sorted([*PROGRAMS, 'lib/systemd/system/seapod.service', 'share/man/man8/seapod.8']))

    def test_programs_start(self):
        for name in PROGRAMS[:2]:
            run = subprocess.run([os.path.join(self.prefix, name), '--help'], capture_output=True, text=True, check=False)
            self.assertEqual((run.returncode, run.stderr), (0, ''))
        self.assertTrue(os.stat(os.path.join(self.prefix, PROGRAMS[2])).st_mode & stat.S_IXUSR)

    def test_the_installed_program_finds_its_helpers(self):
        seapod = os.path.join(self.prefix, 'bin/seapod')
        run = subprocess.run([seapod, 'image', '--help'], capture_output=True, text=True, check=False)
        self.assertIn('seapod image', run.stdout, run.stderr)
        self.assertNotIn('is missing beside seapod', subprocess.run([seapod, 'check'], capture_output=True, text=True, check=False).stdout)

    def test_unit_leaves_containers_alone(self):
        unit = configparser.RawConfigParser(strict=False)
        unit.optionxform = str
        unit.read(os.path.join(self.prefix, 'lib/systemd/system/seapod.service'))
        service = unit['Service']
        self.assertEqual((service['KillMode'], service['Delegate'], service['Restart']), ('process', 'yes', 'always'))
        self.assertEqual(service['ExecStart'].split()[0], '/usr/local/bin/seapod')


class ManualTest(unittest.TestCase):
    def help(self, *words):
        return subprocess.run([SEAPOD, *words, '--help'], capture_output=True, text=True, check=True).stdout

    def setUp(self):
        self.verbs = re.findall(r'^  (\w+)  ', self.help(), re.M)
        with open(os.path.join(ROOT, 'doc/seapod.8'), encoding='utf-8') as file:
            self.page = file.read().replace('\\-', '-')

    def flags(self):
        return {f for v in self.verbs if v not in ('version', 'image') for f in re.findall(r'^  (--[\w-]+)', self.help(v), re.M)}

    def test_every_verb_and_flag_is_told_of(self):
        self.assertGreater(len(self.verbs), 5)
        self.assertGreater(len(self.flags()), 20)
        for word in [*self.verbs, *self.flags()]:
            with self.subTest(word=word):
                self.assertRegex(self.page, rf'(?<![\w-]){re.escape(word)}(?![\w-])', f'doc/seapod.8 does not tell of {word}')

    def test_no_flag_is_invented(self):
        told = set(re.findall(r'(?<![\w-])--[a-z][\w-]*', self.page)) - {'--help', '--name=', '--name'}
        self.assertEqual(told - self.flags(), set())


if __name__ == '__main__':
    unittest.main()
