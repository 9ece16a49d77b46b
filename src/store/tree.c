#include "store/tree.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"

enum { TREE_MAX_HEIGHT = 20 };

struct TreeNode {
    Bytes *key;
    void *value;
    TreeNode *next[]; // one for each level
};
struct Tree {
    size_t count;
    TreeNode *head[TREE_MAX_HEIGHT];
};

// Where each level continues after the last node below `key`.
typedef struct TreePath {
    TreeNode **links[TREE_MAX_HEIGHT];
} TreePath;

Tree *tree_new(void) {
    return memory_new(Tree);
}

void tree_free(Tree *tree) {
    if (!tree)
        return;
    for (TreeNode *node = tree->head[0], *next; node; node = next) {
        next = node->next[0];
        bytes_unref(node->key);
        free(node);
    }
    free(tree);
}

size_t tree_count(const Tree *tree) {
    return tree->count;
}

static TreeNode *tree_find(const Tree *tree, Str key, TreePath *ret_path) {
    TreeNode **links = (TreeNode **)tree->head;
    for (int level = TREE_MAX_HEIGHT - 1; level >= 0; level--) {
        while (links[level] && str_cmp(bytes_str(links[level]->key), key) < 0)
            links = links[level]->next;
        if (ret_path)
            ret_path->links[level] = &links[level];
    }
    return links[0];
}

static bool tree_is(const TreeNode *node, Str key) {
    return node && str_eq(bytes_str(node->key), key);
}

void *tree_get(const Tree *tree, Str key) {
    TreeNode *node = tree_find(tree, key, NULL);
    return tree_is(node, key) ? node->value : NULL;
}

// One in four nodes reaches each further level. The key's hash decides, so no generator is needed.
static int tree_height(Str key) {
    uint64_t hash = str_hash(key) | 1ULL << (2 * (TREE_MAX_HEIGHT - 1));
    return 1 + __builtin_ctzll(hash) / 2;
}

void *tree_put(Tree *tree, Bytes *key, void *value) {
    assert(value);
    TreePath path;
    TreeNode *node = tree_find(tree, bytes_str(key), &path);
    if (tree_is(node, bytes_str(key))) {
        void *replaced = node->value;
        node->value = value;
        return replaced;
    }
    int height = tree_height(bytes_str(key));
    node = memory_alloc(sizeof(TreeNode) + (size_t)height * sizeof(TreeNode *));
    node->key = bytes_ref(key);
    node->value = value;
    for (int level = 0; level < height; level++) {
        node->next[level] = *path.links[level];
        *path.links[level] = node;
    }
    tree->count++;
    return NULL;
}

void *tree_remove(Tree *tree, Str key) {
    TreePath path;
    TreeNode *node = tree_find(tree, key, &path);
    if (!tree_is(node, key))
        return NULL;
    for (int level = 0; level < TREE_MAX_HEIGHT && *path.links[level] == node; level++)
        *path.links[level] = node->next[level];
    void *value = node->value;
    bytes_unref(node->key);
    free(node);
    tree->count--;
    return value;
}

TreeNode *tree_seek(const Tree *tree, Str key) {
    return tree_find(tree, key, NULL);
}
TreeNode *tree_next(const TreeNode *node) {
    return node->next[0];
}
Bytes *tree_key(const TreeNode *node) {
    return node->key;
}
void *tree_value(const TreeNode *node) {
    return node->value;
}
