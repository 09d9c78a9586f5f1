/* write_images NAME COUNT SIDE SEED: NAME-images and NAME-labels, IDX files of COUNT images of SIDE x SIDE
 * bytes that nobody drew: a bar in noise, upright or lying, at one of five places: ten classes. For tests of
 * training (docs/training.md). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ar_quant.h"

enum { PLACES = 5 };

static void put_word(uint8_t *to, uint32_t word) {
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(word >> (24 - 8 * i));
}

static uint8_t draw(uint8_t *image, int32_t side, uint64_t seed, uint64_t number) {
    uint32_t label = ar_random_u32(seed, number, 0) % (2 * PLACES);
    int32_t at = (int32_t)(label / 2) * side / PLACES, width = side / PLACES > 1 ? side / PLACES : 1;
    for (int32_t i = 0; i < side * side; i++) {
        int32_t line = label % 2 ? i / side : i % side;
        bool is_bar = line >= at && line < at + width;
        image[i] = (uint8_t)(ar_random_u32(seed, number, 1 + (uint64_t)i) % 130 + (is_bar ? 90 : 0));
    }
    return (uint8_t)label;
}

static FILE *begin(const char *name, const char *what) {
    char path[4096];
    snprintf(path, sizeof path, "%s-%s", name, what);
    return fopen(path, "wb");
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    uint32_t count = (uint32_t)strtoul(argv[2], NULL, 10), side = (uint32_t)strtoul(argv[3], NULL, 10);
    uint64_t seed = strtoull(argv[4], NULL, 10);
    uint8_t head[16], *image = malloc((size_t)side * side + 1);
    FILE *images = begin(argv[1], "images"), *labels = begin(argv[1], "labels");
    if (!image || !images || !labels) return 1;
    put_word(head, 0x803), put_word(head + 4, count), put_word(head + 8, side), put_word(head + 12, side);
    bool good = fwrite(head, 1, 16, images) == 16;
    put_word(head, 0x801);
    good = good && fwrite(head, 1, 8, labels) == 8;
    for (uint32_t i = 0; good && i < count; i++) {
        uint8_t label = draw(image, (int32_t)side, seed, i);
        good = fwrite(image, 1, (size_t)side * side, images) == (size_t)side * side &&
               fwrite(&label, 1, 1, labels) == 1;
    }
    good = fclose(images) == 0 && good;
    good = fclose(labels) == 0 && good;
    free(image);
    return !good;
}
