#pragma once
// An ordered map from bytes to a pointer (a skip list). Keys are shared, not copied.

#include "base/bytes.h"

typedef struct Tree Tree;
typedef struct TreeNode TreeNode;

Tree *tree_new(void);
void tree_free(Tree *tree); // drops keys, not values; NULL is fine
size_t tree_count(const Tree *tree);

void *tree_get(const Tree *tree, Str key); // NULL when absent
// Takes its own reference to `key`; value != NULL. Returns the value it replaced, or NULL.
void *tree_put(Tree *tree, Bytes *key, void *value);
void *tree_remove(Tree *tree, Str key); // returns what it held, NULL when absent

// In byte order. A node stays good until its key is removed.
TreeNode *tree_seek(const Tree *tree, Str key); // the first whose key is not below `key`, or NULL
TreeNode *tree_next(const TreeNode *node);      // or NULL
Bytes *tree_key(const TreeNode *node);
void *tree_value(const TreeNode *node);
