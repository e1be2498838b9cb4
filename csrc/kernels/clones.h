/* clones.h - IG_CLONES before a function has it compiled twice where the loader can choose: for
 * machines with AVX2 and for any machine. The distributed binary must run on all of them, and
 * without AVX2's blends a minimum or maximum costs a branch a value (measured: the channel mean
 * takes 5 to 10 times as long). AVX2 alone brings no fused multiply-add, so both give the same
 * bits. Not by clang, whose version 14 makes clones that do not link, nor under ThreadSanitizer,
 * which is not ready yet when the loader chooses.
 */
#ifndef INTGRAD_CLONES_H
#define INTGRAD_CLONES_H

#include <stddef.h>
#include <stdint.h> /* with glibc, defines __GLIBC__ */

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__has_attribute) &&                       \
    !defined(__clang__) && !defined(__SANITIZE_THREAD__)
#if __has_attribute(target_clones)
#define IG_CLONES __attribute__((target_clones("avx2", "default")))
#endif
#endif
#ifndef IG_CLONES
#define IG_CLONES
#endif

#endif
