//go:build ignore
/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The object that carries the image's types to package fib: no program, no map. */
#include "weft/types.h"

struct fib_header layout_header;
struct fib_line layout_line;
struct fib_vrf layout_vrf;
struct fib_route layout_route;
struct fib_members layout_members;
struct fib_member layout_member;
struct fib_adjacency layout_adjacency;
enum fib_image layout_image;
enum fib_entry layout_entry;
enum fib_table layout_table;
enum fib_route_tail layout_tail;
enum fib_group_word layout_group_word;
enum fib_group_kind layout_group_kind;
enum fib_group_mode layout_group_mode;
enum fib_adjacency_state layout_state;
