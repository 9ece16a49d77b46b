"""What the documents point to is there."""
import os
import re
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
DOCUMENTS = ('README.md', 'ARCHITECTURE.md', 'STYLE.md', 'doc/README.md', 'examples/README.md')
PLACES = re.compile(r'`((?:src|kinds|test|tools|scripts|examples|doc)/[^`\s]*)')
LINK = re.compile(r'\]\(([^)#:]+)\)')


def read(path):
    with open(os.path.join(ROOT, path), encoding='utf-8') as file:
        return file.read()


class DocsTest(unittest.TestCase):
    def test_files_that_are_named_exist(self):
        for document in DOCUMENTS:
            for path in PLACES.findall(read(document)):
                found = os.path.join(ROOT, path.rstrip('/'))
                if '*' in path:
                    folder, pattern = os.path.split(found)
                    there = any(re.fullmatch(re.escape(pattern).replace(r'\*', '.*'), f) for f in os.listdir(folder))
                else:
                    there = os.path.exists(found)
                with self.subTest(document=document, path=path):
                    self.assertTrue(there, f'{document} names {path}')

    def test_links_lead_somewhere(self):
        for document in DOCUMENTS:
            for link in LINK.findall(read(document)):
                with self.subTest(document=document, link=link):
                    self.assertTrue(os.path.exists(os.path.join(ROOT, os.path.dirname(document), link)))

    def test_every_room_is_on_the_map(self):
        text = read('ARCHITECTURE.md')
        for room in os.listdir(os.path.join(ROOT, 'src')):
            with self.subTest(room=room):
                self.assertIn(f'| `src/{room}` |', text)

    def test_every_example_is_told_of(self):
        text = read('examples/README.md')
        for name in os.listdir(os.path.join(ROOT, 'examples')):
            if name.endswith('.yaml'):
                with self.subTest(name=name):
                    self.assertIn(f'`{name}`', text)

    def test_readme_fits_a_screen(self):
        self.assertLess(len(read('README.md').splitlines()), 60)


if __name__ == '__main__':
    unittest.main()
