/* What a program that uses an installed anyround looks like: lists the devices and rounds one number. */
#include <anyround/ar_host.h>
#include <stdio.h>

int main(void) {
    int32_t count = 0;
    char notes[1024] = "";
    ar_status status = ar_device_list(NULL, &count, 0, notes, sizeof notes);
    if (status) {
        fprintf(stderr, "%s: %s\n", ar_status_text(status), ar_error());
        return 1;
    }
    ar_tokenizer *none = NULL;
    if (ar_tokenizer_open(&none, "no such file") != AR_ERR_IO || !*ar_error()) return 1;
    if (!ar_method_find("signround")) return 1;
    printf("anyround %s, %d devices, 1/3 is 0x%04x in half precision\n", ar_version(), (int)count,
           (unsigned)ar_f32_to_f16(1.0f / 3.0f));
    return ar_f32_to_f16(1.0f / 3.0f) != 0x3555;
}
