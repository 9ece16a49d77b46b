#include "contract.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void assert_record(const Reply *reply, const char *key, const char *value,
                          int64_t create_revision, int64_t revision) {
    assert_int_equal(reply->n, 1);
    const Record *record = &reply->records[0];
    assert_string_equal(record->key, key);
    assert_true(str_eq(bytes_str(record->value), str_from(value)));
    assert_int_equal(record->create_revision, create_revision);
    assert_int_equal(record->revision, revision);
}

static void absent_key(Harness *h) {
    _reply_clear_ Reply reply = do_get(h, "a");
    assert_int_equal(reply.error, 0);
    assert_int_equal(reply.n, 0);
    assert_true(reply.revision > 0);
    _reply_clear_ Reply range = do_range(h, "", "", 0, 0);
    assert_int_equal(range.error, 0);
    assert_int_equal(range.n, 0);
    assert_false(range.more);
    assert_int_equal(range.revision, reply.revision);
}

static void put_creates(Harness *h) {
    int64_t before = do_sync(h);
    _reply_clear_ Reply put = do_put(h, "a", "1", STORE_ABSENT, 0);
    assert_int_equal(put.error, 0);
    assert_true(put.revision > before);
    assert_record(&put, "a", "1", put.revision, put.revision);
    _reply_clear_ Reply get = do_get(h, "a");
    assert_int_equal(get.error, 0);
    assert_int_equal(get.revision, put.revision);
    assert_record(&get, "a", "1", put.revision, put.revision);
    _reply_clear_ Reply other = do_get(h, "b");
    assert_int_equal(other.n, 0);
    assert_int_equal(other.revision, put.revision);
}

static void put_changes(Harness *h) {
    int64_t created = must_put(h, "a", "1");
    must_put(h, "b", "1");
    _reply_clear_ Reply put = do_put(h, "a", "2", created, 0);
    assert_int_equal(put.error, 0);
    assert_true(put.revision > created);
    assert_record(&put, "a", "2", created, put.revision);
    _reply_clear_ Reply any = do_put(h, "a", "3", STORE_ANY, 0);
    assert_int_equal(any.error, 0);
    assert_record(&any, "a", "3", created, any.revision);
}

static void put_conflicts(Harness *h) {
    int64_t first = must_put(h, "a", "1"), second = must_put(h, "a", "2");
    int64_t wrong[] = {first, STORE_ABSENT, second + 1, second + 1000000};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        _reply_clear_ Reply reply = do_put(h, "a", "x", wrong[i], i % 2 ? STORE_VOLATILE : 0);
        assert_int_equal(reply.error, STORE_E_CONFLICT);
        assert_record(&reply, "a", "2", first, second);
    }
    _reply_clear_ Reply absent = do_put(h, "b", "x", first, 0);
    assert_int_equal(absent.error, STORE_E_CONFLICT);
    assert_int_equal(absent.n, 0);
    assert_int_equal(do_sync(h), second); // a conflict is no write
    assert_range(h, "", "", 0, 0, "a=2");
}

static void removes(Harness *h) {
    int64_t first = must_put(h, "a", "1"), second = must_put(h, "a", "2");
    _reply_clear_ Reply wrong = do_remove(h, "a", first);
    assert_int_equal(wrong.error, STORE_E_CONFLICT);
    assert_record(&wrong, "a", "2", first, second);
    _reply_clear_ Reply removed = do_remove(h, "a", second);
    assert_int_equal(removed.error, 0);
    assert_true(removed.revision > second);
    assert_record(&removed, "a", "2", first, second);
    _reply_clear_ Reply gone = do_get(h, "a");
    assert_int_equal(gone.error, 0);
    assert_int_equal(gone.n, 0);

    int64_t expected[] = {STORE_ANY, second, STORE_ABSENT};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        _reply_clear_ Reply again = do_remove(h, "a", expected[i]);
        assert_int_equal(again.error, STORE_E_CONFLICT);
        assert_int_equal(again.n, 0);
    }
    assert_int_equal(do_sync(h), removed.revision);

    _reply_clear_ Reply stale = do_put(h, "a", "3", second, 0);
    assert_int_equal(stale.error, STORE_E_CONFLICT);
    _reply_clear_ Reply fresh = do_put(h, "a", "3", STORE_ABSENT, 0);
    assert_int_equal(fresh.error, 0);
    assert_record(&fresh, "a", "3", fresh.revision, fresh.revision); // a new incarnation
}

static void limits(Harness *h) {
    char key[STORE_MAX_KEY + 2];
    memset(key, 'k', sizeof key);
    key[STORE_MAX_KEY + 1] = 0;
    _reply_clear_ Reply empty = do_put(h, "", "x", STORE_ANY, 0);
    assert_int_equal(empty.error, -EINVAL);
    _reply_clear_ Reply long_key = do_put(h, key, "x", STORE_ANY, 0);
    assert_int_equal(long_key.error, -EINVAL);
    _reply_clear_ Reply get = do_get(h, key);
    assert_int_equal(get.error, -EINVAL);
    _reply_clear_ Reply get_empty = do_get(h, "");
    assert_int_equal(get_empty.error, -EINVAL);
    _reply_clear_ Reply remove = do_remove(h, key, STORE_ANY);
    assert_int_equal(remove.error, -EINVAL);
    _reply_clear_ Reply range = do_range(h, key, "", 0, 0);
    assert_int_equal(range.error, -EINVAL);
    Seen seen = {0};
    seen_start(h, &seen, key, 0);
    seen_wait_error(&seen);
    assert_int_equal(seen.error, -EINVAL);
    seen_stop(&seen);
    assert_range(h, "", "", 0, 0, "");

    key[STORE_MAX_KEY] = 0;
    must_put(h, key, "x");
    _reply_clear_ Reply longest = do_get(h, key);
    assert_int_equal(longest.n, 1);
    // The usual "continue after this one" is the key and a zero byte.
    key[STORE_MAX_KEY] = 0;
    _reply_clear_ Reply after = reply_of(h);
    store_range(h->store, STR("k"), str_of(key, STORE_MAX_KEY + 1), 0, 0, reply_done, &after);
    harness_wait(h, &after.is_done);
    assert_int_equal(after.error, 0);
    assert_int_equal(after.n, 0);

    char *value = malloc(STORE_MAX_VALUE + 2);
    memset(value, 'v', STORE_MAX_VALUE + 1);
    value[STORE_MAX_VALUE + 1] = 0;
    _reply_clear_ Reply large = do_put(h, "large", value, STORE_ANY, 0);
    assert_int_equal(large.error, -EMSGSIZE);
    value[STORE_MAX_VALUE] = 0;
    must_put(h, "large", value);
    _reply_clear_ Reply largest = do_get(h, "large");
    assert_int_equal(largest.records[0].value->len, STORE_MAX_VALUE);
    free(value);
}

static void any_bytes(Harness *h) {
    static const char key[] = {'k', 0, (char)0xff, 0, 'x'};
    static const char data[] = {0, 1, (char)0xfe, 0};
    Bytes *value = bytes_new(data, sizeof data), *none = bytes_new("", 0);
    _reply_clear_ Reply put = reply_of(h), get = reply_of(h), empty = reply_of(h),
                        range = reply_of(h);
    store_put(h->store, str_of(key, sizeof key), value, STORE_ABSENT, 0, reply_done, &put);
    store_put(h->store, str_of(key, 2), none, STORE_ABSENT, 0, reply_done, &empty);
    store_get(h->store, str_of(key, sizeof key), reply_done, &get);
    store_range(h->store, str_of(key, 2), STR_NONE, 0, 0, reply_done, &range);
    harness_wait(h, &range.is_done);
    assert_int_equal(put.error, 0);
    assert_int_equal(get.n, 1);
    assert_true(str_eq(bytes_str(get.records[0].value), str_of(data, sizeof data)));
    assert_int_equal(range.n, 2);
    assert_non_null(range.records[0].value); // empty is not absent
    assert_int_equal(range.records[0].value->len, 0);
    bytes_unref(value);
    bytes_unref(none);
}

static void ranges(Harness *h) {
    static const char *const keys[] = {"pods/b", "pods/a", "pods/ab",   "podsx",
                                       "pod",    "pods/",  "secrets/a", "pods0"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        must_put(h, keys[i], "1");
    must_remove(h, "pods0");
    assert_range(h, "pods/", "", 0, 0, "pods/=1 pods/a=1 pods/ab=1 pods/b=1");
    assert_range(h, "", "", 0, 0, "pod=1 pods/=1 pods/a=1 pods/ab=1 pods/b=1 podsx=1 secrets/a=1");
    assert_range(h, "nothing/", "", 0, 0, "");
    assert_range(h, "pods/ab", "", 0, 0, "pods/ab=1");
    // from: inclusive, need not exist, may lie outside the prefix
    assert_range(h, "pods/", "pods/a", 0, 0, "pods/a=1 pods/ab=1 pods/b=1");
    assert_range(h, "pods/", "pods/aa", 0, 0, "pods/ab=1 pods/b=1");
    assert_range(h, "pods/", "a", 0, 0, "pods/=1 pods/a=1 pods/ab=1 pods/b=1");
    assert_range(h, "pods/", "pods/c", 0, 0, "");
    assert_range(h, "pods/", "z", 0, 0, "");
    // limit: cuts, says so and how many are left
    assert_range(h, "pods/", "", 0, 1, "pods/=1 +3");
    assert_range(h, "pods/", "pods/a", 0, 2, "pods/a=1 pods/ab=1 +1");
    assert_range(h, "pods/", "", 0, 4, "pods/=1 pods/a=1 pods/ab=1 pods/b=1");
    assert_range(h, "pods/", "", 0, 5, "pods/=1 pods/a=1 pods/ab=1 pods/b=1");
}

static void range_of_high_bytes(Harness *h) {
    must_put(h, "\xfe", "1");
    must_put(h, "\xff", "2");
    must_put(h, "\xff\xff", "3");
    must_put(h, "\xff\xff\x01", "4");
    assert_range(h, "\xff", "", 0, 0, "\xff=2 \xff\xff=3 \xff\xff\x01=4");
    assert_range(h, "\xff\xff", "", 0, 0, "\xff\xff=3 \xff\xff\x01=4");
    assert_range(h, "\xfe", "", 0, 0, "\xfe=1");
}

const Contract *contract_records(size_t *ret_n) {
    static const Contract contracts[] = {
        {"an absent key is no error", absent_key},
        {"put creates", put_creates},
        {"put changes", put_changes},
        {"put conflicts and shows what is there", put_conflicts},
        {"remove", removes},
        {"limits of keys and values", limits},
        {"keys and values are any bytes", any_bytes},
        {"range: prefix, from, limit", ranges},
        {"range: prefixes of 0xff", range_of_high_bytes},
    };
    *ret_n = sizeof contracts / sizeof *contracts;
    return contracts;
}
