#pragma once
// Just enough of a system call layer for a program without a C library: every function returns what
// the kernel returns, a negative errno on failure.

#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
static inline long system_call(long number, long a, long b, long c, long d, long e) {
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}
// The kernel leaves argc and argv on the stack.
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall "
        "pause_start\n");
#elif defined(__aarch64__)
static inline long system_call(long number, long a, long b, long c, long d, long e) {
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
}
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x0, sp\n\tbl pause_start\n");
#else
#error "seapod-pause knows x86_64 and aarch64"
#endif

#define CALL5(name, a, b, c, d, e)                                                                 \
    system_call(__NR_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))
#define CALL3(name, a, b, c) CALL5(name, a, b, c, 0, 0)

static inline size_t text_length(const char *text) {
    size_t n = 0;
    while (text[n]) {
        __asm__ volatile(""); // keep the compiler from making this a call of strlen
        n++;
    }
    return n;
}
static inline void text_write(int fd, const char *text) {
    CALL3(write, fd, text, text_length(text));
}
