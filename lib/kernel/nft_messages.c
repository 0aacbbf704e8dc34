/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/nft_messages.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <string.h>

#include <libnftnl/common.h>

#define ELEMENT_CHUNK 256u /* elements in one message */

/* ---- adding ---------------------------------------------------------------------------------- */

void nft_put_table(struct nft_batch *batch, const struct nft_table *table)
{
	struct nlmsghdr *nlh =
		nft_batch_add(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE, "add", "table", table->name);

	if (nlh)
		nftnl_table_nlmsg_build_payload(nlh, table->object);
	nft_batch_close(batch, nlh);
}

void nft_put_chain(struct nft_batch *batch, const struct nft_chain *chain)
{
	struct nlmsghdr *nlh =
		nft_batch_add(batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE, "add", "chain", chain->name);

	if (nlh)
		nftnl_chain_nlmsg_build_payload(nlh, chain->object);
	nft_batch_close(batch, nlh);
}

void nft_put_rules(struct nft_batch *batch, const struct nft_chain *chain)
{
	char name[NFT_NAME_MAX + 40];

	for (size_t i = 0; i < chain->count; i++) {
		struct nlmsghdr *nlh;

		snprintf(name, sizeof(name), "%zu of chain %s", i + 1, chain->name);
		nlh = nft_batch_add(batch, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, "add",
				    "rule", name);
		if (nlh)
			nftnl_rule_nlmsg_build_payload(nlh, chain->rules[i]->object);
		nft_batch_close(batch, nlh);
	}
}

void nft_put_counter(struct nft_batch *batch, const struct nft_counter *counter)
{
	struct nlmsghdr *nlh =
		nft_batch_add(batch, NFT_MSG_NEWOBJ, NLM_F_CREATE, "add", "counter", counter->name);

	if (nlh)
		nftnl_obj_nlmsg_build_payload(nlh, counter->object);
	nft_batch_close(batch, nlh);
}

void nft_put_set(struct nft_batch *batch, const struct nft_set *set)
{
	struct nlmsghdr *nlh =
		nft_batch_add(batch, NFT_MSG_NEWSET, NLM_F_CREATE, "add", "set", set->name);

	if (set->learnt && nft_rows_add(&batch->made, set->name, NULL, 0) < 0)
		batch->failed = true;
	if (nlh)
		nftnl_set_nlmsg_build_payload(nlh, set->object);
	nft_batch_close(batch, nlh);
}

/* ---- elements -------------------------------------------------------------------------------- */

static struct nftnl_set *element_list(const struct nft_element_writer *writer)
{
	struct nftnl_set *list = nftnl_set_alloc();

	if (!list)
		return NULL;
	nftnl_set_set_str(list, NFTNL_SET_TABLE, writer->table);
	nftnl_set_set_str(list, NFTNL_SET_NAME, writer->set);
	if (writer->set_id)
		nftnl_set_set_u32(list, NFTNL_SET_ID, writer->set_id);
	return list;
}

static void set_data(const struct nft_element_writer *writer, const struct nft_rows *rows, size_t i,
		     struct nftnl_set_elem *object)
{
	const uint8_t *data = nft_rows_data(rows, i);

	if (!writer->create || !data || (nft_rows_flags(rows, i) & NFT_SET_ELEM_INTERVAL_END))
		return;
	if (nft_shape_has_verdicts(writer->shape)) {
		nftnl_set_elem_set_u32(object, NFTNL_SET_ELEM_VERDICT, (uint32_t)NFT_GOTO);
		nftnl_set_elem_set_str(object, NFTNL_SET_ELEM_CHAIN, (const char *)data);
	} else {
		nftnl_set_elem_set(object, NFTNL_SET_ELEM_DATA, data, rows->data_length);
	}
}

void nft_put_element(struct nft_element_writer *writer, const struct nft_rows *rows, size_t i)
{
	struct nftnl_set_elem *object = nftnl_set_elem_alloc();

	if (!writer->list)
		writer->list = element_list(writer);
	if (!object || !writer->list) {
		if (object)
			nftnl_set_elem_free(object);
		writer->batch->failed = true;
		return;
	}
	nftnl_set_elem_set(object, NFTNL_SET_ELEM_KEY, nft_rows_key(rows, i), rows->key_length);
	if (nft_rows_flags(rows, i))
		nftnl_set_elem_set_u32(object, NFTNL_SET_ELEM_FLAGS, nft_rows_flags(rows, i));
	set_data(writer, rows, i, object);
	if (writer->timeouts && writer->timeouts[i])
		nftnl_set_elem_set_u64(object, NFTNL_SET_ELEM_TIMEOUT, writer->timeouts[i]);
	nftnl_set_elem_add(writer->list, object);
	if (++writer->count == ELEMENT_CHUNK)
		nft_put_last_elements(writer);
}

void nft_put_last_elements(struct nft_element_writer *writer)
{
	struct nlmsghdr *nlh;

	if (!writer->list)
		return;
	nlh = nft_batch_add(writer->batch, writer->create ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM,
			    writer->create ? NLM_F_CREATE : 0, writer->create ? "add" : "delete",
			    "elements of set", writer->set);
	if (nlh)
		nftnl_set_elems_nlmsg_build_payload(nlh, writer->list);
	nft_batch_close(writer->batch, nlh);
	nftnl_set_free(writer->list);
	writer->list = NULL;
	writer->count = 0;
}

/* ---- what needs no more than names ----------------------------------------------------------- */

/* Table and object are the first two attributes of every kind but chains (nf_tables.h). */
#define TABLE_ATTRIBUTE  1
#define OBJECT_ATTRIBUTE 2

static struct nlmsghdr *put_names(struct nft_batch *batch, uint16_t type, const char *verb,
				  const char *kind, const char *table, const char *object)
{
	struct nlmsghdr *nlh = nft_batch_add(batch, type, 0, verb, kind, object ? object : table);

	if (nlh)
		mnl_attr_put_strz(nlh, TABLE_ATTRIBUTE, table);
	if (nlh && object)
		mnl_attr_put_strz(nlh, OBJECT_ATTRIBUTE, object);
	return nlh;
}

void nft_wake_table(struct nft_batch *batch, const char *table)
{
	struct nlmsghdr *nlh = put_names(batch, NFT_MSG_NEWTABLE, "wake up", "table", table, NULL);

	if (nlh)
		mnl_attr_put_u32(nlh, NFTA_TABLE_FLAGS, 0);
	nft_batch_close(batch, nlh);
}

void nft_delete_table(struct nft_batch *batch, const char *table)
{
	nft_batch_close(batch, put_names(batch, NFT_MSG_DELTABLE, "delete", "table", table, NULL));
}

void nft_delete_chain(struct nft_batch *batch, const char *table, const char *chain)
{
	struct nlmsghdr *nlh = nft_batch_add(batch, NFT_MSG_DELCHAIN, 0, "delete", "chain", chain);

	if (nlh) {
		mnl_attr_put_strz(nlh, NFTA_CHAIN_TABLE, table);
		mnl_attr_put_strz(nlh, NFTA_CHAIN_NAME, chain);
	}
	nft_batch_close(batch, nlh);
}

void nft_delete_set(struct nft_batch *batch, const char *table, const char *set)
{
	nft_batch_close(batch, put_names(batch, NFT_MSG_DELSET, "delete", "set", table, set));
}

void nft_put_flows(struct nft_batch *batch, const struct nft_flows *flows)
{
	struct nlmsghdr *nlh = put_names(batch, NFT_MSG_NEWFLOWTABLE, "add", "flowtable",
					 flows->table->name, flows->name);
	struct nlattr *hook, *list;
	struct nft_device device;

	if (nlh) {
		nlh->nlmsg_flags |= NLM_F_CREATE;
		hook = mnl_attr_nest_start(nlh, NFTA_FLOWTABLE_HOOK);
		mnl_attr_put_u32(nlh, NFTA_FLOWTABLE_HOOK_NUM, htonl(NF_NETDEV_INGRESS));
		mnl_attr_put_u32(nlh, NFTA_FLOWTABLE_HOOK_PRIORITY, htonl(0));
		list = mnl_attr_nest_start(nlh, NFTA_FLOWTABLE_HOOK_DEVS);
		for (size_t i = 0; i < flows->devices.count; i++) {
			memcpy(&device, nft_rows_key(&flows->devices, i), sizeof(device));
			mnl_attr_put_strz(nlh, NFTA_DEVICE_NAME, device.name);
		}
		mnl_attr_nest_end(nlh, list);
		mnl_attr_nest_end(nlh, hook);
	}
	nft_batch_close(batch, nlh);
}

void nft_delete_flows(struct nft_batch *batch, const char *table, const char *flows)
{
	nft_batch_close(
		batch, put_names(batch, NFT_MSG_DELFLOWTABLE, "delete", "flowtable", table, flows));
}

void nft_delete_object(struct nft_batch *batch, const char *table, const char *object,
		       uint32_t type)
{
	struct nlmsghdr *nlh = put_names(batch, NFT_MSG_DELOBJ, "delete", "object", table, object);

	if (nlh)
		mnl_attr_put_u32(nlh, NFTA_OBJ_TYPE, htonl(type));
	nft_batch_close(batch, nlh);
}

void nft_empty_chain(struct nft_batch *batch, const char *table, const char *chain)
{
	nft_batch_close(batch, put_names(batch, NFT_MSG_DELRULE, "empty", "chain", table, chain));
}

void nft_empty_set(struct nft_batch *batch, const char *table, const char *set)
{
	nft_batch_close(batch, put_names(batch, NFT_MSG_DELSETELEM, "empty", "set", table, set));
}
