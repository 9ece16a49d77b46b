#pragma once
// A container's root: image layers and a writable layer joined by overlayfs, and ways to look into
// it that no link in an image can lead astray. Blocking; for a worker thread.

#include "base/arena.h"

// Mounts at `target` (made when absent) the layers, lowest first, with DIRECTORY/upper and
// DIRECTORY/work as the writable layer (made, empty). Returns 0 or negative errno with
// *ret_message.
int rootfs_mount(Arena *arena, const Str *layers, size_t n_layers, const char *directory,
                 const char *target, Str *ret_message) __attribute__((warn_unused_result));
// The layers alone, read-only, nosuid, nodev and noexec, at `target`, which is there. `empty`: an
// empty directory, since overlayfs wants two.
int rootfs_mount_read_only(Arena *arena, const Str *layers, size_t n_layers, Str empty,
                           const char *target, Str *ret_message)
    __attribute__((warn_unused_result));
// Unmounts what is mounted at `target` (lazily when busy) and removes the directory. Fine when
// nothing is there.
int rootfs_unmount(const char *target);

// The whole of a regular file below the directory `root`; paths and links are resolved as if `root`
// were "/". -ENOENT, -EFBIG past `max` bytes, -EINVAL when it is no regular file.
int rootfs_read_file(Arena *arena, int root, const char *path, size_t max, Str *ret)
    __attribute__((warn_unused_result));
// mkdir -p below `root`, mode 0755, resolved in the same way. -ENOTDIR when a file is in the way.
int rootfs_make_directory(int root, Str path) __attribute__((warn_unused_result));

// rm -rf: stays on one file system, follows no link. Fine when nothing is there.
int remove_tree(const char *path);
// mkdir -p with that mode for what is made.
int make_directories(const char *path, unsigned mode) __attribute__((warn_unused_result));
