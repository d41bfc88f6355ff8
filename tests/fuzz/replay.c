/* SPDX-License-Identifier: Apache-2.0 */
/* Runs every saved input of a fuzz target without libFuzzer and says so in TAP. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int
run_file(const char *dir, const char *name, int number)
{
	char path[4096];
	uint8_t *data = NULL;
	size_t n;
	long size;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "rb");
	if (!f)
		return -1;
	if (fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) >= 0 && fseek(f, 0, SEEK_SET) == 0) {
		/* An exact copy, so that a sanitizer sees a read past the end. */
		data = malloc(size ? (size_t)size : 1);
		n = data ? fread(data, 1, (size_t)size, f) : 0;
		if (data)
			(void)LLVMFuzzerTestOneInput(data, n);
		printf("ok %d - %s\n", number, name);
		(void)fflush(stdout);
	}
	free(data);
	(void)fclose(f);
	return 0;
}

int
main(int argc, char **argv)
{
	struct dirent *entry;
	int number = 0;
	DIR *dir;

	if (argc != 2 || !(dir = opendir(argv[1]))) {
		printf("Bail out! no corpus\n");
		return 1;
	}
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' && run_file(argv[1], entry->d_name, number + 1) == 0)
			number++;
	(void)closedir(dir);
	printf("1..%d\n", number);
	return number > 0 ? 0 : 1;
}
