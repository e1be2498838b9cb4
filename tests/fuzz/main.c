/* main.c - runs a fuzz target without libFuzzer, for compilers that lack it.
 *
 *     target FILE...            those inputs
 *     target --random N [SEED]  N random ones
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LONGEST = 1 << 16, LONGEST_RANDOM = 300 };

static int run_file(const char *path)
{
    static uint8_t data[LONGEST];
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 1;
    }
    const size_t size = fread(data, 1, sizeof data, file);
    fclose(file);
    fprintf(stderr, "%s\n", path); /* the last one named is the one that aborts */
    LLVMFuzzerTestOneInput(data, size);
    return 0;
}

/* xorshift64 (Marsaglia, "Xorshift RNGs", 2003). */
static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void run_random(long count, uint64_t seed)
{
    uint8_t data[LONGEST_RANDOM];
    for (long k = 0; k < count; k++) {
        uint64_t state = seed + (uint64_t)k * UINT64_C(0x9e3779b97f4a7c15) + 1;
        const size_t size = next(&state) % sizeof data;
        for (size_t i = 0; i < size; i++)
            data[i] = (uint8_t)(next(&state) >> 32);
        LLVMFuzzerTestOneInput(data, size);
    }
}

int main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "--random") == 0) {
        run_random(atol(argv[2]), argc > 3 ? strtoull(argv[3], NULL, 10) : 0);
        return 0;
    }
    int failed = 0;
    for (int i = 1; i < argc; i++)
        failed |= run_file(argv[i]);
    return failed;
}
