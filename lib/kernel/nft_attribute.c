/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/nft_attribute.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <stddef.h>

const struct nlattr *nft_nested(const struct nlattr *in, int type)
{
	const struct nlattr *attr;

	if (!in)
		return NULL;
	mnl_attr_for_each_nested(attr, in)
	{
		if (mnl_attr_get_type(attr) == type)
			return attr;
	}
	return NULL;
}

const struct nlattr *nft_attribute(const struct nlmsghdr *nlh, int type)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == type)
			return attr;
	}
	return NULL;
}

const char *nft_text(const struct nlattr *attr)
{
	return attr && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0 ? mnl_attr_get_str(attr)
									 : "";
}

uint32_t nft_number(const struct nlattr *attr)
{
	return attr && mnl_attr_validate(attr, MNL_TYPE_U32) >= 0 ? ntohl(mnl_attr_get_u32(attr))
								  : 0;
}
