/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which files are read at all: includes, permissions, rule directories. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/config/config.h"
#include "tests/config/place.h"

static const char *source_root;

static void refuse(const char *file, int code, const char *sentence)
{
	_cleanup_text_ struct text complaints = TEXT_INIT;
	struct settings settings;

	assert_int_equal(config_load(file, &settings, &complaints), code);
	assert_string_equal(text_get(&complaints), sentence);
}

static void take(const char *file, struct settings *ret)
{
	_cleanup_text_ struct text complaints = TEXT_INIT;
	int r = config_load(file, ret, &complaints);

	assert_string_equal(text_get(&complaints), "");
	assert_int_equal(r, 0);
}

static void test_no_file(void **state)
{
	refuse("nowhere.conf", -ENOENT, "nowhere.conf: does not exist\n");
	refuse("nowhere/maped.conf", -ENOENT, "nowhere/maped.conf: does not exist\n");
}

static void test_no_regular_file(void **state)
{
	place_directory("directory");
	refuse("directory", -EINVAL, "directory: is not a regular file\n");
	refuse("/dev/zero", -EINVAL, "/dev/zero: is not a regular file\n");
	assert_int_equal(mkfifo("fifo", 0600), 0);
	refuse("fifo", -EINVAL,
	       "fifo: is not a regular file\n"); /* and does not wait for a writer */
}

static void test_file_too_large(void **state)
{
	_cleanup_settings_ struct settings settings = {0};
	char *blanks = malloc(CONFIG_FILE_MAX + 1);

	assert_non_null(blanks);
	memset(blanks, '\n', CONFIG_FILE_MAX + 1);
	place_write_octets("large.conf", blanks, CONFIG_FILE_MAX + 1);
	refuse("large.conf", -EINVAL, "large.conf: is larger than 1048576 octets\n");
	place_write_octets("large.conf", blanks, CONFIG_FILE_MAX);
	take("large.conf", &settings);
	free(blanks);
}

/* Makes it writable for a group, which is the owner's own or (root can do that) another one. */
static void open_to_group(const char *path, mode_t mode, bool own)
{
	assert_int_equal(chown(path, (uid_t)-1, own ? geteuid() : geteuid() + 1), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void test_writable_by_others(void **state)
{
	_cleanup_settings_ struct settings settings = {0};

	place_write("t.conf", "");
	if (geteuid() == 0) {
		open_to_group("t.conf", 0664, true);
		take("t.conf", &settings);
		open_to_group("t.conf", 0664, false);
		refuse("t.conf", -EINVAL, "t.conf: can be written by others: chmod go-w t.conf\n");
	}
	assert_int_equal(chmod("t.conf", 0602), 0);
	refuse("t.conf", -EINVAL, "t.conf: can be written by others: chmod go-w t.conf\n");
}

static void test_directory_writable_by_others(void **state)
{
	_cleanup_settings_ struct settings settings = {0}, sticky = {0};

	place_directory("open");
	place_write("open/t.conf", "");
	take("open/t.conf", &settings);
	if (geteuid() == 0) {
		open_to_group("open", 0775, false);
		refuse("open/t.conf", -EINVAL,
		       "open/t.conf: its directory can be written by others: chmod go-w open\n");
	}
	assert_int_equal(symlink("open/t.conf", "link.conf"), 0);
	assert_int_equal(chmod("open", 0777), 0);
	{
		_cleanup_text_ struct text complaints = TEXT_INIT;
		struct settings none;

		/* where the link leads counts, too */
		assert_int_equal(config_load("link.conf", &none, &complaints), -EINVAL);
		assert_non_null(strstr(text_get(&complaints),
				       "link.conf: its directory can be written by others"));
	}
	/* As /tmp: others cannot replace what is not theirs. */
	assert_int_equal(chmod("open", 01777), 0);
	take("open/t.conf", &sticky);
}

static void test_owned_by_others(void **state)
{
	if (geteuid() != 0) {
		print_message("needs root to give a file away\n");
		skip();
	}
	place_write("t.conf", "");
	assert_int_equal(chown("t.conf", 12345, 0), 0);
	refuse("t.conf", -EINVAL,
	       "t.conf: is owned by user 12345, who can change it: chown root t.conf\n");
}

/* The daemon is not root: files of root are good for it, and those that are its own. */
static void test_read_by_another_user(void **state)
{
	int status;
	pid_t pid;

	if (geteuid() != 0) {
		print_message("needs root to become another user\n");
		skip();
	}
	place_write("root.conf", "");
	place_write("own.conf", "");
	place_write("secret.conf", "");
	assert_int_equal(chown("own.conf", 12345, 12345), 0);
	assert_int_equal(chmod("secret.conf", 0600), 0);
	assert_int_equal(chmod(".", 0755), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		_cleanup_text_ struct text complaints = TEXT_INIT;
		_cleanup_settings_ struct settings a = {0}, b = {0}, c = {0};

		if (setgid(12345) < 0 || setuid(12345) < 0)
			_exit(10);
		if (config_load("root.conf", &a, &complaints) != 0)
			_exit(1);
		if (config_load("own.conf", &b, &complaints) != 0)
			_exit(2);
		if (config_load("secret.conf", &c, &complaints) != -EINVAL)
			_exit(3);
		_exit(strcmp(text_get(&complaints),
			     "secret.conf: cannot be opened: Permission denied\n") == 0
			      ? 0
			      : 4);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_include(void **state)
{
	_cleanup_settings_ struct settings settings = {0};

	place_directory("inc");
	place_write("inc/map.conf", "mtu = 1400;\n@include \"deeper.conf\"\n");
	place_write("inc/deeper.conf", "tunnel = \"deep\"");
	place_write("main.conf", "map = {\n  @include \"inc/map.conf\"\n  route_metric = 5;\n};\n"
				 "@include \"inc/empty.conf\" lan = { };\n");
	place_write("inc/empty.conf", "");
	take("main.conf", &settings);
	assert_int_equal(settings.map.mtu, 1400);
	assert_string_equal(settings.map.tunnel, "deep");
	assert_int_equal(settings.map.route_metric, 5);
}

/* Complaints name the file where the mistake is, in the order of reading. */
static void test_include_with_mistakes(void **state)
{
	place_write("inc/bad.conf", "{ protocol = \"tcp\"; port = 80; to = \"192.168.1.1\"; },\n"
				    "\n"
				    "{ protocol = \"xyz\"; port = 81; to = \"192.168.1.1\"; },\n");
	place_write("bad.conf", "map = { mtu = 1; };\n"
				"forward = (\n"
				"  @include \"inc/bad.conf\"\n"
				"  { protocol = \"tcp\"; port = 80; to = \"192.168.1.2\"; },\n"
				"  { protocol = \"tcp\"; port = 82; to = \"192.168.1\"; },\n"
				");\n");
	refuse("bad.conf", -EINVAL,
	       "bad.conf:1: map.mtu: 1 is out of range (1280 to 65495, or 0)\n"
	       "inc/bad.conf:3: forward[1].protocol: protocol \"xyz\" must be \"tcp\", \"udp\" or "
	       "\"tcp+udp\"\n"
	       "bad.conf:4: forward[2]: its port is already used by forward[0] (inc/bad.conf:1)\n"
	       "bad.conf:5: forward[3].to: \"192.168.1\" is no LAN host; write \"192.168.1.10\" or "
	       "\"192.168.1.10:80\"\n");
	place_write("inc/open.conf", "map = {\n");
	place_write("bad.conf", "\n@include \"inc/open.conf\"\n");
	refuse("bad.conf", -EINVAL, "inc/open.conf:1: the \"{\" is never closed\n");
	place_write("bad.conf", "\n@include \"inc/open.conf\"\n)\n");
	refuse("bad.conf", -EINVAL,
	       "bad.conf:3: \")\" cannot close the \"{\" of line 1 of inc/open.conf\n");
	place_write("inc/twice.conf", "\n\nmap = { };\nmap = { };\n");
	place_write("bad.conf", "@include \"inc/twice.conf\"\nmap = { };\n");
	refuse("bad.conf", -EINVAL,
	       "inc/twice.conf:4: \"map\" is given twice (first on line 3)\n"
	       "bad.conf:2: \"map\" is given twice (first on line 3 of inc/twice.conf)\n");
}

static void test_include_refused(void **state)
{
	static char names[64];

	place_write("bad.conf", "# first\n@include \"nowhere.conf\"\n");
	refuse("bad.conf", -EINVAL, "bad.conf:2: the included file nowhere.conf does not exist\n");
	place_write("bad.conf", "@include \"/dev/zero\"\n");
	refuse("bad.conf", -EINVAL,
	       "bad.conf:1: the included file /dev/zero is not a regular file\n");
	place_write("bad.conf", "@include \"inc\"\n");
	refuse("bad.conf", -EINVAL, "bad.conf:1: the included file inc is not a regular file\n");
	place_write("writable.conf", "");
	assert_int_equal(chmod("writable.conf", 0666), 0);
	place_write("bad.conf", "@include \"writable.conf\"\n");
	refuse("bad.conf", -EINVAL,
	       "bad.conf:1: the included file writable.conf can be written by others: chmod go-w "
	       "writable.conf\n");
	place_write("loop.conf", "@include \"loop.conf\"\n");
	refuse("loop.conf", -EINVAL, "loop.conf:1: files include each other more than 8 deep\n");
	snprintf(names, sizeof(names), "@include \"\\x41\"\n");
	place_write("bad.conf", names);
	refuse("bad.conf", -EINVAL, "bad.conf:1: @include has no usable file name\n");
}

/* All files together are bounded, however often one is included. */
static void test_include_too_much(void **state)
{
	char *blanks = malloc(CONFIG_FILE_MAX / 2);

	assert_non_null(blanks);
	memset(blanks, '\n', CONFIG_FILE_MAX / 2);
	place_write_octets("half.conf", blanks, CONFIG_FILE_MAX / 2);
	free(blanks);
	place_write("bad.conf", "@include \"half.conf\"\n@include \"half.conf\"\n");
	refuse("bad.conf", -EINVAL,
	       "bad.conf:2: with \"half.conf\" there are more than 1048576 octets to read\n");
}

static void test_octets_that_are_no_text(void **state)
{
	static const char nul[] = "map = { mtu = 0; };\n\0";
	static const char noise[] = "\xff\xfe\0m\0a\0p";

	place_write_octets("bad.conf", nul, sizeof(nul));
	refuse("bad.conf", -EINVAL,
	       "bad.conf:2: expected a key, found the octet 0x00 (only comments may hold "
	       "characters "
	       "outside ASCII)\n");
	place_write_octets("bad.conf", noise, sizeof(noise));
	refuse("bad.conf", -EINVAL,
	       "bad.conf:1: expected a key, found the octet 0xff (only comments may hold "
	       "characters "
	       "outside ASCII)\n");
}

static void test_very_many_mistakes(void **state)
{
	_cleanup_text_ struct text file = TEXT_INIT, complaints = TEXT_INIT;
	struct settings settings;
	size_t lines = 0;

	text_add(&file, "lan = { interfaces = [\n");
	for (unsigned int i = 0; i < 1000; i++)
		text_add(&file, "\"\",\n");
	text_add(&file, "]; };\n");
	place_write("bad.conf", text_get(&file));
	assert_int_equal(config_load("bad.conf", &settings, &complaints), -EINVAL);
	for (const char *at = text_get(&complaints); *at; at++)
		lines += *at == '\n';
	assert_int_equal(lines, 101);
	assert_non_null(strstr(text_get(&complaints),
			       "\nbad.conf:101: lan.interfaces[99]: an interface name is empty\n"
			       "bad.conf: 900 more mistakes are not listed\n"));
}

/* Rule files */

#define RULE(prefix6, prefix4) \
	"{ ipv6_prefix = \"" prefix6 "\"; ipv4_prefix = \"" prefix4 "\"; ea_length = 22; }"

static void refuse_rules(const char *directory, const char *sentence)
{
	_cleanup_ruleset_ struct ruleset rules = {0};
	_cleanup_text_ struct text complaints = TEXT_INIT;

	assert_int_equal(config_load_rules(directory, &rules, &complaints), -EINVAL);
	assert_string_equal(text_get(&complaints), sentence);
	assert_int_equal(rules.count, 0);
}

static void test_rules_of_a_directory(void **state)
{
	_cleanup_ruleset_ struct ruleset rules = {0};
	_cleanup_text_ struct text complaints = TEXT_INIT;

	place_directory("rules");
	place_write("rules/b.conf",
		    "rules = ( " RULE("2400:4051::/34",
				      "153.241.0.0/16") ");\n"
							"psid_offset = 4; br = \"2001:db8::1\"; "
							"interface_id = \"rfc7597\";\n");
	place_write(
		"rules/a.conf",
		"rules = ( { ipv6_prefix = \"2400:4050::/34\"; ipv4_prefix = \"153.240.0.0/16\";\n"
		"  ea_length = 22; br = \"2001:db8::2\"; } );\n");
	place_write("rules/c.conf", "");
	place_write("rules/.hidden.conf", "nonsense");
	place_write("rules/.conf", "nonsense");
	place_write("rules/b.conf~", "nonsense");
	place_write("rules/README", "nonsense");
	assert_int_equal(config_load_rules("rules", &rules, &complaints), 0);
	assert_string_equal(text_get(&complaints), "");
	assert_int_equal(rules.count, 2);
	assert_string_equal(rules.rules[0].provider, "a");
	assert_int_equal(rules.rules[0].psid_offset, 6);
	assert_int_equal(rules.rules[0].iid_format, IID_MAP_DRAFT_03);
	assert_string_equal(rules.rules[1].provider, "b");
	assert_int_equal(rules.rules[1].psid_offset, 4);
	assert_int_equal(rules.rules[1].iid_format, IID_RFC7597);
	/* What is there already stays. */
	assert_int_equal(config_load_rules("rules", &rules, &complaints), 0);
	assert_int_equal(rules.count, 4);
	assert_int_equal(config_load_rules("no-rules", &rules, &complaints), 0);
	assert_string_equal(text_get(&complaints), "");
	assert_int_equal(rules.count, 4);
}

static void test_rules_with_mistakes(void **state)
{
	place_directory("bad");
	place_write("bad/a.conf", "psid_offset = 16;\nbr = \"fe80::1\";\ninterface_id = \"x\";\n"
				  "rule = ( );\n");
	place_write(
		"bad/b.conf",
		"rules = (\n" RULE(
			"2400:4050::/34",
			"153.240.0.0/16") ",\n"
					  "{ ipv6_prefix = \"2400:4050::/34\"; mtu = 0; } );\n");
	place_write("bad/c.conf", "br = \"2001:db8::1\"; rules = ( " RULE("2400:4051::/34",
									  "153.241.0.0/16") ");\n");
	refuse_rules("bad",
		     "bad/a.conf:1: psid_offset: 16 is out of range (0 to 15)\n"
		     "bad/a.conf:2: br: \"fe80::1\" is not a global unicast address (2000::/3)\n"
		     "bad/a.conf:3: interface_id: \"x\" must be \"map-draft-03\" or \"rfc7597\"\n"
		     "bad/a.conf:4: rule: unknown key; did you mean \"rules\"?\n"
		     "bad/b.conf:2: rules[0]: br is missing\n"
		     "bad/b.conf:3: rules[1].mtu: unknown key\n"
		     "bad/b.conf:3: rules[1]: ipv4_prefix is missing\n"
		     "bad/b.conf:3: rules[1]: ea_length is missing\n"
		     "bad/b.conf:3: rules[1]: br is missing\n");
}

static void test_wrong_br_of_a_rule_file(void **state)
{
	place_directory("br");
	place_write("br/a.conf", "br = \"2001:db8::g\";\n"
				 "rules = ( " RULE("2400:4050::/34", "153.240.0.0/16") " );\n");
	refuse_rules("br", "br/a.conf:1: br: \"2001:db8::g\" is no IPv6 address\n");
}

static void test_rule_directory_refused(void **state)
{
	place_directory("writable");
	assert_int_equal(chmod("writable", 01777), 0);
	refuse_rules("writable", "writable: can be written by others: chmod go-w writable\n");
	place_write("file", "");
	refuse_rules("file", "file: is not a directory\n");
	place_directory("long");
	place_write("long/a2345678901234567890123456789012.conf", "");
	refuse_rules("long", "long/a2345678901234567890123456789012.conf: the name is too long (at "
			     "most 31 characters and .conf)\n");
	place_directory("mode");
	place_write("mode/x.conf", "");
	assert_int_equal(chmod("mode/x.conf", 0666), 0);
	refuse_rules("mode", "mode/x.conf: can be written by others: chmod go-w mode/x.conf\n");
	place_directory("dangling");
	assert_int_equal(symlink("nowhere", "dangling/x.conf"), 0);
	refuse_rules("dangling", "dangling/x.conf: does not exist\n");
}

static void test_collected_rules(void **state)
{
	_cleanup_settings_ struct settings settings = {0};
	_cleanup_ruleset_ struct ruleset rules = {0};
	_cleanup_text_ struct text complaints = TEXT_INIT;
	static const char *const expected[] = {"custom", "wire", "ocn", "zzz", "v6plus"};

	place_write("t.conf", "map = { br = \"2001:db8::1\"; rules = ( " RULE(
				      "2400:4050::/34", "153.240.0.0/16") " ); };\n");
	take("t.conf", &settings);
	place_directory("own");
	place_directory("wire");
	place_directory("shipped");
#define DEFAULT_BR "br = \"2001:db8::2\";\n"
	place_write("wire/wire.conf",
		    DEFAULT_BR "rules = ( " RULE("2400:4051::/34", "153.241.0.0/16") " );\n");
	place_write("own/ocn.conf",
		    DEFAULT_BR "rules = ( " RULE("2400:4052::/34", "153.242.0.0/16") " );\n");
	place_write("own/zzz.conf",
		    DEFAULT_BR "rules = ( " RULE("2400:4053::/34", "153.243.0.0/16") " );\n");
	place_write("shipped/ocn.conf", "hidden, so not even looked at");
	place_write("shipped/v6plus.conf",
		    DEFAULT_BR "rules = ( " RULE("2400:4054::/34", "153.244.0.0/16") " );\n");
	assert_int_equal(
		config_collect_rules(&settings, "own", "wire", "shipped", &rules, &complaints), 0);
	assert_string_equal(text_get(&complaints), "");
	assert_int_equal(rules.count, ARRAY_SIZE(expected));
	for (size_t i = 0; i < rules.count; i++)
		assert_string_equal(rules.rules[i].provider, expected[i]);
}

/* Everything or nothing; and every file's mistakes are told. */
static void test_collected_rules_refused(void **state)
{
	_cleanup_text_ struct text complaints = TEXT_INIT;
	struct settings settings;
	struct ruleset rules = {.count = 77};

	settings_defaults(&settings);
	place_directory("broken1");
	place_directory("broken2");
	place_write("broken1/a.conf", "rules = 1;\n");
	place_write("broken2/b.conf", "rules = 2;\n");
	assert_int_equal(config_collect_rules(&settings, "broken1", "broken2", "shipped", &rules,
					      &complaints),
			 -EINVAL);
	assert_non_null(strstr(text_get(&complaints), "broken1/a.conf:1: rules: must be a list"));
	assert_non_null(strstr(text_get(&complaints), "broken2/b.conf:1: rules: must be a list"));
	assert_int_equal(rules.count, 77);
}

static void collect(const char *provider_line, const char *own, int code, const char *sentences)
{
	_cleanup_settings_ struct settings settings = {0};
	_cleanup_ruleset_ struct ruleset rules = {0};
	_cleanup_text_ struct text complaints = TEXT_INIT;

	place_write("provider.inc", provider_line);
	place_write("t.conf", "map = {\n@include \"provider.inc\"\n};\n");
	take("t.conf", &settings);
	assert_int_equal(
		config_collect_rules(&settings, own, "told", "brought", &rules, &complaints), code);
	assert_string_equal(text_get(&complaints), sentences);
}

/* map.provider names one of the files, whatever is in it. */
static void test_provider_without_file(void **state)
{
	place_directory("mine");
	place_directory("brought");
	place_write("mine/isp.conf", "");
	place_write("brought/v6plus.conf", "");
	collect("provider = \"v6plus\";\n", "mine", 0, "");
	collect("provider = \"isp\";\n", "mine", 0, "");
	collect("provider = \"auto\";\n", "mine", 0, "");
	collect("provider = \"custom\";\n", "mine", 0, "");
	collect("provider = \"dhcp\";\n", "mine", 0, ""); /* its rules may come later */
	collect("\nprovider = \"v6plsu\";\n", "mine", -EINVAL,
		"provider.inc:2: map.provider: there is no rule file v6plsu.conf; did you mean "
		"\"v6plus\"?\n");
	collect("provider = \"atuo\";\n", "mine", -EINVAL,
		"provider.inc:1: map.provider: there is no rule file atuo.conf; did you mean "
		"\"auto\"?\n");
	collect("provider = \"something\";\n", "mine", -EINVAL,
		"provider.inc:1: map.provider: there is no rule file something.conf\n");
}

/* A file that is there is not missed, although its own mistakes keep its rules away. */
static void test_provider_with_mistakes(void **state)
{
	place_directory("wrong");
	place_write("wrong/isp.conf", "rules = 1;\n");
	collect("provider = \"isp\";\n", "wrong", -EINVAL,
		"wrong/isp.conf:1: rules: must be a list: ( { ipv6_prefix = \"...\"; ipv4_prefix = "
		"\"...\"; ea_length = ...; } )\n");
	place_write("no-directory", "");
	collect("provider = \"isp\";\n", "no-directory", -EINVAL,
		"no-directory: is not a directory\n");
}

static void test_shipped_rules(void **state)
{
	static const struct {
		const char *provider;
		size_t count;
	} shipped[] = {{"biglobe", 258}, {"nuro", 18}, {"ocn", 160}, {"v6plus", 8}};
	_cleanup_ruleset_ struct ruleset rules = {0};
	_cleanup_text_ struct text complaints = TEXT_INIT;
	char path[512];
	int r;

	snprintf(path, sizeof(path), "%s/conf/rules", source_root);
	if (access(path, F_OK) < 0) {
		print_message("%s is not there\n", path);
		skip();
	}
	r = config_load_rules(path, &rules, &complaints);
	assert_string_equal(text_get(&complaints), "");
	assert_int_equal(r, 0);
	assert_int_equal(rules.count, 444);
	for (size_t i = 0; i < ARRAY_SIZE(shipped); i++) {
		size_t count = 0;

		for (size_t j = 0; j < rules.count; j++)
			count += strcmp(rules.rules[j].provider, shipped[i].provider) == 0;
		assert_int_equal(count, shipped[i].count);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_no_regular_file),
		cmocka_unit_test(test_file_too_large),
		cmocka_unit_test(test_writable_by_others),
		cmocka_unit_test(test_directory_writable_by_others),
		cmocka_unit_test(test_owned_by_others),
		cmocka_unit_test(test_read_by_another_user),
		cmocka_unit_test(test_include),
		cmocka_unit_test(test_include_with_mistakes),
		cmocka_unit_test(test_include_refused),
		cmocka_unit_test(test_include_too_much),
		cmocka_unit_test(test_octets_that_are_no_text),
		cmocka_unit_test(test_very_many_mistakes),
		cmocka_unit_test(test_rules_of_a_directory),
		cmocka_unit_test(test_rules_with_mistakes),
		cmocka_unit_test(test_wrong_br_of_a_rule_file),
		cmocka_unit_test(test_rule_directory_refused),
		cmocka_unit_test(test_collected_rules),
		cmocka_unit_test(test_collected_rules_refused),
		cmocka_unit_test(test_provider_without_file),
		cmocka_unit_test(test_provider_with_mistakes),
		cmocka_unit_test(test_shipped_rules),
	};

	source_root = argc > 1 ? argv[1] : ".";
	return cmocka_run_group_tests_name("files", tests, place_setup, place_teardown);
}
