/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/config/lexis.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/config/source.h"

bool begins_with(const char *at, const char *end, const char *text)
{
	size_t length = strlen(text);

	return (size_t)(end - at) >= length && memcmp(at, text, length) == 0;
}

static bool is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '*';
}

struct word word_of_name(const char *at, const char *end)
{
	struct word word = {.at = at};

	while (at < end && is_name_char(*at))
		at++;
	word.length = (size_t)(at - word.at);
	return word;
}

struct word word_of_value(const char *at, const char *end)
{
	struct word word = {.at = at};

	for (; at < end; at++) {
		if (begins_with(at, end, "//") || begins_with(at, end, "/*"))
			break;
		if (!is_name_char(*at) && !memchr(".:/+", *at, 4))
			break;
	}
	word.length = (size_t)(at - word.at);
	return word;
}

bool word_is(struct word word, const char *text)
{
	return word.length == strlen(text) && strncasecmp(word.at, text, word.length) == 0;
}

bool word_is_name(struct word word)
{
	return (isalpha((unsigned char)word.at[0]) || word.at[0] == '*') &&
	       !word_is(word, "true") && !word_is(word, "false");
}

int word_number(struct word word, long long *ret)
{
	char digits[32];
	size_t length = word.length;
	long long number;
	int base = 10;
	char *end;

	for (int i = 0; i < 2 && length > 1 && word.at[length - 1] == 'L'; i++)
		length--;
	if (length >= sizeof(digits))
		return -ERANGE;
	memcpy(digits, word.at, length);
	digits[length] = '\0';
	if (digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X')) {
		if (!isxdigit((unsigned char)digits[2]))
			return -EINVAL;
		base = 16;
	}
	errno = 0;
	number = strtoll(digits, &end, base);
	if (*end || end == digits)
		return -EINVAL;
	if (errno == ERANGE)
		return -ERANGE;
	*ret = number;
	return 0;
}

bool word_is_like_number(struct word word)
{
	return isdigit((unsigned char)word.at[0]) || strchr("+-.", word.at[0]);
}

const char *string_end(const char *at, const char *end)
{
	for (; at < end && *at != '\n'; at++) {
		if (*at == '"')
			return at;
		if (*at == '\\' && at + 1 < end && at[1] != '\n')
			at++;
	}
	return NULL;
}

const char *string_mistake(const char *at, const char *end)
{
	if (end - at > SOURCE_STRING_MAX)
		return "a text is longer than 255 characters";
	for (; at < end; at++) {
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			return "a text holds a control character";
		if ((unsigned char)*at > 0x7e)
			return "a text holds a character outside ASCII";
		if (*at != '\\')
			continue;
		if (at[1] != '\\' && at[1] != '"')
			return "a text holds a backslash (only \\\\ and \\\" are known)";
		at++;
	}
	return NULL;
}
