/* The class of an image by a net of few states, in whole numbers, on no device:  classify NET IMAGES [NUMBER]
 * IMAGES is an IDX file (MNIST's). Build:  cc classify.c -o classify $(pkg-config --cflags --libs anyround)
 */
#include <anyround/ar_host.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    ar_states_model net = {0};
    if (argc < 3) {
        fprintf(stderr, "usage: classify NET IMAGES [NUMBER]\n");
        return 2;
    }
    if (ar_states_open(&net, argv[1]) != AR_OK) {
        fprintf(stderr, "%s\n", ar_error());
        return 1;
    }
    long number = argc > 3 ? atol(argv[3]) : 0, size = (long)net.H * net.W * net.C; /* IDX: one channel */
    unsigned char head[16], *image = malloc((size_t)size);
    float *scores = malloc((size_t)net.classes * sizeof *scores);
    FILE *file = fopen(argv[2], "rb");
    int32_t label = -1;
    int good = image && scores && file && fread(head, 1, 16, file) == 16 && head[2] == 8 && head[3] == 3 &&
               (head[10] << 8 | head[11]) == net.H && (head[14] << 8 | head[15]) == net.W && number >= 0 &&
               fseek(file, 16 + number * size, SEEK_SET) == 0 &&
               fread(image, 1, (size_t)size, file) == (size_t)size;
    if (!good)
        fprintf(stderr, "%s: found no image %ld, expected one of %d x %d\n", argv[2], number, net.H, net.W);
    else if (ar_states_classify(&label, scores, NULL, &net, image, true) != AR_OK)
        fprintf(stderr, "%s\n", ar_error());
    else
        printf("%d (score %.3f)\n", label, (double)scores[label]);
    if (file) fclose(file);
    free(image);
    free(scores);
    ar_states_model_deinit(&net);
    return label < 0;
}
