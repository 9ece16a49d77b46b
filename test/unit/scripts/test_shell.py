"""Every shell script of the tree passes shellcheck."""
import os
import re
import shutil
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
FOLDERS = ('scripts', '.ci', 'test/bare', 'test/bench')


def scripts():
    for folder in FOLDERS:
        path = os.path.join(ROOT, folder)
        for entry in sorted(os.scandir(path), key=lambda e: e.name) if os.path.isdir(path) else ():
            if not entry.is_file():
                continue
            with open(entry.path, 'rb') as file:
                if re.match(rb'#!/bin/(ba)?sh\n', file.readline()):
                    yield os.path.join(folder, entry.name)


class ShellTest(unittest.TestCase):
    def test_shellcheck_finds_nothing(self):
        found = list(scripts())
        self.assertIn('scripts/test', found)
        run = subprocess.run(['shellcheck', *found], cwd=ROOT, capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, 0, run.stdout)


if __name__ == '__main__':
    if not shutil.which('shellcheck'):
        sys.exit(77)
    unittest.main()
