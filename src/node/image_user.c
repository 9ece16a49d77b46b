#include "node/image_user.h"

#include <errno.h>

#include "node/rootfs.h"

#define FILE_MAX (1024 * 1024)
#define GROUPS_MAX 1024

typedef struct Passwd {
    Str name;
    uint32_t uid, gid;
} Passwd;

static bool parse_id(Str text, uint32_t *ret) {
    uint64_t number;
    if (str_to_u64(text, &number) || number > UINT32_MAX - 1)
        return false;
    *ret = (uint32_t)number;
    return true;
}

// By name, or by number when `name` is absent. "name:password:uid:gid:..."
static bool find_passwd(Str text, Str name, uint32_t uid, Passwd *ret) {
    while (text.ptr) {
        Str line = str_trim(str_cut(&text, '\n'));
        Passwd entry = {.name = str_cut(&line, ':')};
        str_cut(&line, ':');
        Str uid_text = str_cut(&line, ':');
        if (!parse_id(uid_text, &entry.uid) || !parse_id(str_cut(&line, ':'), &entry.gid))
            continue;
        if (name.ptr ? str_eq(entry.name, name) : entry.uid == uid) {
            *ret = entry;
            return true;
        }
    }
    return false;
}

static bool has_member(Str members, Str name) {
    while (members.ptr)
        if (str_eq(str_cut(&members, ','), name))
            return true;
    return false;
}

static void add_group(ImageUser *user, uint32_t gid) {
    for (size_t i = 0; i < user->n_groups; i++)
        if (user->groups[i] == gid)
            return;
    if (user->n_groups < GROUPS_MAX)
        user->groups[user->n_groups++] = gid;
}

// "name:password:gid:member,member"
static bool find_group(Str text, Str name, uint32_t *ret) {
    while (text.ptr) {
        Str line = str_trim(str_cut(&text, '\n'));
        Str entry = str_cut(&line, ':');
        str_cut(&line, ':');
        if (str_eq(entry, name) && parse_id(str_cut(&line, ':'), ret))
            return true;
    }
    return false;
}

static void add_memberships(ImageUser *user, Str text, Str name) {
    while (text.ptr) {
        Str line = str_trim(str_cut(&text, '\n'));
        uint32_t gid;
        str_cut(&line, ':');
        str_cut(&line, ':');
        if (parse_id(str_cut(&line, ':'), &gid) && has_member(line, name))
            add_group(user, gid);
    }
}

static int unknown(Arena *arena, const char *kind, Str name, Str *ret_message) {
    *ret_message = arena_printf(arena, "unable to find %s %.*s: no matching entries in %s file",
                                kind, STR_ARG(name), kind[0] == 'u' ? "passwd" : "group");
    return -ENOENT;
}

int image_user_find(Arena *arena, Str passwd, Str group, const ImageUserQuery *query,
                    ImageUser *ret, Str *ret_message) {
    Str group_name = query->uid < 0 ? query->user : STR_NONE;
    Str user_name = query->uid < 0 && query->user.len ? str_cut(&group_name, ':') : STR_NONE;
    Passwd entry = {.name = STR_NONE, .uid = query->uid < 0 ? 0 : (uint32_t)query->uid};
    *ret = (ImageUser){.groups = arena_array_of(arena, uint32_t, GROUPS_MAX)};
    if (query->uid > UINT32_MAX - 1 || query->gid > UINT32_MAX - 1) {
        *ret_message = STR("user or group id out of range");
        return -EINVAL;
    }
    // A name that looks like a number is a number, unless /etc/passwd has it as a name.
    bool named = user_name.len && find_passwd(passwd, user_name, 0, &entry);
    if (user_name.len && !named && !parse_id(user_name, &entry.uid))
        return unknown(arena, "user", user_name, ret_message);
    if (!named)
        find_passwd(passwd, STR_NONE, entry.uid, &entry);
    ret->uid = entry.uid;
    ret->gid = entry.gid;
    if (query->gid >= 0)
        ret->gid = (uint32_t)query->gid;
    else if (group_name.len && !find_group(group, group_name, &ret->gid) &&
             !parse_id(group_name, &ret->gid))
        return unknown(arena, "group", group_name, ret_message);
    if (entry.name.len && !query->strict_groups)
        add_memberships(ret, group, entry.name);
    for (size_t i = 0; i < query->n_supplemental_groups; i++) {
        int64_t gid = query->supplemental_groups[i];
        if (gid < 0 || gid > UINT32_MAX - 1) {
            *ret_message = STR("supplemental group id out of range");
            return -EINVAL;
        }
        add_group(ret, (uint32_t)gid);
    }
    return 0;
}

int image_user_resolve(Arena *arena, int root, const ImageUserQuery *query, ImageUser *ret,
                       Str *ret_message) {
    Str passwd = STR(""), group = STR("");
    int error = rootfs_read_file(arena, root, "etc/passwd", FILE_MAX, &passwd);
    if (!error || error == -ENOENT)
        error = rootfs_read_file(arena, root, "etc/group", FILE_MAX, &group);
    if (error && error != -ENOENT) {
        *ret_message = arena_printf(arena, "cannot read the image's /etc/passwd or /etc/group: %s",
                                    strerrordesc_np(-error));
        return error;
    }
    return image_user_find(arena, passwd, group, query, ret, ret_message);
}
