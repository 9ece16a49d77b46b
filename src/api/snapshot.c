#include "api/snapshot.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"

struct Snapshot {
    uint32_t references;
    uint32_t priority; // keyed hash of the key: nobody outside can unbalance the tree
    size_t size;       // of the subtree
    Snapshot *left, *right;
    CachedObject *object;
};

Snapshot *snapshot_ref(Snapshot *root) {
    if (root)
        root->references++;
    return root;
}

void snapshot_unref(Snapshot *root) {
    while (root) {
        assert(root->references > 0);
        if (--root->references > 0)
            return;
        Snapshot *right = root->right;
        snapshot_unref(root->left);
        object_unref(root->object);
        free(root);
        root = right;
    }
}

size_t snapshot_size(const Snapshot *root) {
    return root ? root->size : 0;
}

static void resize(Snapshot *node) {
    node->size = 1 + snapshot_size(node->left) + snapshot_size(node->right);
}

// A node that may be changed: `node` itself when nobody else refers to it, else a copy.
static Snapshot *own(Snapshot *node) {
    if (node->references == 1)
        return node;
    Snapshot *copy = memory_new(Snapshot);
    *copy = *node;
    copy->references = 1;
    snapshot_ref(copy->left);
    snapshot_ref(copy->right);
    object_ref(copy->object);
    node->references--;
    return copy;
}

// Children handed to the rotations are owned already: a put or removal below returned them.
static Snapshot *rotate_right(Snapshot *node) {
    Snapshot *left = node->left;
    node->left = left->right;
    left->right = node;
    resize(node);
    resize(left);
    return left;
}

static Snapshot *rotate_left(Snapshot *node) {
    Snapshot *right = node->right;
    node->right = right->left;
    right->left = node;
    resize(node);
    resize(right);
    return right;
}

static Snapshot *put(Snapshot *node, CachedObject *object, uint32_t priority) {
    if (!node) {
        node = memory_new(Snapshot);
        *node = (Snapshot){.references = 1, .priority = priority, .size = 1};
        node->object = object_ref(object);
        return node;
    }
    node = own(node);
    int order = str_cmp(object->key, node->object->key);
    if (order == 0) {
        CachedObject *old = node->object;
        node->object = object_ref(object);
        object_unref(old);
        return node;
    }
    if (order < 0)
        node->left = put(node->left, object, priority);
    else
        node->right = put(node->right, object, priority);
    resize(node);
    if (node->left && node->left->priority > node->priority)
        return rotate_right(node);
    if (node->right && node->right->priority > node->priority)
        return rotate_left(node);
    return node;
}

Snapshot *snapshot_put(Snapshot *root, CachedObject *object) {
    return put(root, object, (uint32_t)str_hash(object->key));
}

// Every key of `a` is smaller than every key of `b`.
static Snapshot *merge(Snapshot *a, Snapshot *b) {
    if (!a || !b)
        return a ? a : b;
    if (a->priority > b->priority) {
        a = own(a);
        a->right = merge(a->right, b);
        resize(a);
        return a;
    }
    b = own(b);
    b->left = merge(a, b->left);
    resize(b);
    return b;
}

static Snapshot *remove_present(Snapshot *node, Str key) {
    assert(node);
    node = own(node);
    int order = str_cmp(key, node->object->key);
    if (order == 0) {
        Snapshot *merged = merge(node->left, node->right);
        object_unref(node->object);
        free(node);
        return merged;
    }
    if (order < 0)
        node->left = remove_present(node->left, key);
    else
        node->right = remove_present(node->right, key);
    resize(node);
    return node;
}

Snapshot *snapshot_remove(Snapshot *root, Str key) {
    return snapshot_get(root, key) ? remove_present(root, key) : root;
}

CachedObject *snapshot_get(const Snapshot *root, Str key) {
    while (root) {
        int order = str_cmp(key, root->object->key);
        if (order == 0)
            return root->object;
        root = order < 0 ? root->left : root->right;
    }
    return NULL;
}

size_t snapshot_rank(const Snapshot *root, Str key) {
    size_t rank = 0;
    while (root) {
        if (str_cmp(key, root->object->key) <= 0) {
            root = root->left;
        } else {
            rank += snapshot_size(root->left) + 1;
            root = root->right;
        }
    }
    return rank;
}

CachedObject *snapshot_at(const Snapshot *root, size_t rank) {
    assert(rank < snapshot_size(root));
    for (;;) {
        size_t left = snapshot_size(root->left);
        if (rank == left)
            return root->object;
        if (rank < left) {
            root = root->left;
        } else {
            rank -= left + 1;
            root = root->right;
        }
    }
}

// How many keys are smaller than `prefix` or begin with it.
static size_t rank_after_prefix(const Snapshot *root, Str prefix) {
    size_t rank = 0;
    while (root) {
        Str key = root->object->key;
        Str head = key.len > prefix.len ? str_slice(key, 0, prefix.len) : key;
        if (str_cmp(head, prefix) <= 0) {
            rank += snapshot_size(root->left) + 1;
            root = root->right;
        } else {
            root = root->left;
        }
    }
    return rank;
}

void snapshot_prefix(const Snapshot *root, Str prefix, size_t *ret_from, size_t *ret_to) {
    *ret_from = prefix.len ? snapshot_rank(root, prefix) : 0;
    *ret_to = prefix.len ? rank_after_prefix(root, prefix) : snapshot_size(root);
}
