#pragma once
// Intrusive doubly linked list. A `List` head and `ListLink` members embedded in what is listed.

#include <stdbool.h>
#include <stddef.h>

typedef struct ListLink ListLink;
struct ListLink {
    ListLink *prev, *next; // both NULL while not linked
};
typedef struct List {
    ListLink head; // circular
} List;

static inline void list_init(List *list) {
    list->head.prev = list->head.next = &list->head;
}
static inline bool list_is_empty(const List *list) {
    return list->head.next == &list->head;
}
static inline bool list_is_linked(const ListLink *link) {
    return link->next != NULL;
}
static inline void list_insert_before(ListLink *where, ListLink *link) {
    link->prev = where->prev;
    link->next = where;
    where->prev->next = link;
    where->prev = link;
}
static inline void list_append(List *list, ListLink *link) {
    list_insert_before(&list->head, link);
}
static inline void list_prepend(List *list, ListLink *link) {
    list_insert_before(list->head.next, link);
}
static inline void list_remove(ListLink *link) { // fine when not linked
    if (!link->next)
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->prev = link->next = NULL;
}
static inline ListLink *list_first(const List *list) {
    return list_is_empty(list) ? NULL : list->head.next;
}
#define container_of(ptr, T, member) ((T *)((char *)(ptr)-offsetof(T, member)))
// `item` may be removed inside the loop, its neighbours may not. Loops may nest.
#define list_for_each(item, list, member)                                                          \
    list_for_each_named(item, list, member, LIST_NAME(list_link_, __LINE__),                       \
                        LIST_NAME(list_next_, __LINE__))
#define LIST_NAME(prefix, line) LIST_PASTE(prefix, line)
#define LIST_PASTE(prefix, line) prefix##line
#define list_for_each_named(item, list, member, at, after)                                         \
    for (ListLink *at = (list)->head.next, *after = at->next;                                      \
         at != &(list)->head && ((item) = container_of(at, __typeof__(*(item)), member), 1);       \
         at = after, after = at->next)
