/* SPDX-License-Identifier: Apache-2.0
 *
 * attn.h - masked attention on the CPU: the one public header, and the manual.
 *
 *     output = softmax(scaling * Q K^T + masks) V
 *
 * with grouped-query heads, additive and boolean masks, causal order, windows, key lengths, sparse masks
 * with weights, soft capping, ALiBi, attention sinks and dropout. Nothing of size q_len x k_len exists
 * unless the caller asks for weights, scores or the dropout mask.
 *
 * A complete program (one batch, 8 query heads on 2 key-value heads, causal):
 *
 *     #include "attn.h"
 *     #include <stdlib.h>
 *
 *     int attend(const float *q, const float *k, const float *v, float *out) {
 *         struct attn_problem problem;
 *         struct attn_result result = {0};
 *         struct attn_plan plan;
 *         attn_problem_init(&problem, 1, 8, 2, 2, 512, 512, 64, 64);
 *         problem.queries.data = q;              // [1, 8, 512, 64]
 *         problem.keys.data = k;                 // [1, 2, 512, 64]
 *         problem.values.data = v;               // [1, 2, 512, 64]
 *         problem.causal = 1;
 *         attn_result_init(&result, &problem);
 *         result.output = out;                   // [1, 512, 8, 64]
 *         enum attn_status status = attn_plan_init(&plan, &problem, &result);
 *         if (status != ATTN_OK) return status;  // plan.field names the offending field
 *         void *workspace = malloc(plan.workspace_bytes);
 *         if (!workspace) return 1;
 *         status = attn_run(&plan, &problem, &result, workspace, plan.workspace_bytes, 0, plan.jobs);
 *         free(workspace);
 *         return status;
 *     }
 *
 * Ownership: the library allocates nothing, keeps no state and stores no pointer beyond a call; every
 * array belongs to the caller. Threads: any number of threads may run disjoint job ranges of one plan at
 * the same time, each with a workspace of its own; the results do not depend on the split.
 *
 * Words used throughout, always in this order:
 *     batch, heads (of queries), key_heads, value_heads, q_len, k_len, dim (of queries and keys), value_dim.
 * Query head h reads key head h / (heads / key_heads) and value head h / (heads / value_heads).
 *
 * Positions: key j stands at key_offset + j; query i stands at query_offset + i, where the query offset
 * defaults to key_offset + k_len - q_len (the last query sees the last key; what decoding needs).
 */
#ifndef ATTN_H
#define ATTN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Status codes; the numbers are frozen. Errors leave every output untouched. */
enum attn_status {
    ATTN_OK = 0,
    ATTN_ERROR_NULL = -1,      /* a required pointer is NULL */
    ATTN_ERROR_DTYPE = -2,     /* an element type this field does not take */
    ATTN_ERROR_SIZE = -3,      /* a size, or a product of sizes, overflows */
    ATTN_ERROR_SHAPE = -4,     /* strides or dimensions reach beyond `capacity`, or do not fit the problem */
    ATTN_ERROR_HEADS = -5,     /* heads is not divisible by key_heads, value_heads or the mask's heads */
    ATTN_ERROR_VALUE = -6,     /* a parameter outside its range (not finite, negative, unknown enumerator) */
    ATTN_ERROR_INDEX = -7,     /* an index array (key lengths, CSR) holds a value out of range or out of order */
    ATTN_ERROR_WORKSPACE = -8, /* workspace too small or not aligned to ATTN_ALIGNMENT */
    ATTN_ERROR_JOBS = -9       /* job range outside the plan, or the plan was made for another problem */
};

/* The field a status speaks of. */
enum attn_field {
    ATTN_FIELD_NONE,
    ATTN_FIELD_SHAPE, /* batch, heads, ... as a whole */
    ATTN_FIELD_QUERIES,
    ATTN_FIELD_KEYS,
    ATTN_FIELD_VALUES,
    ATTN_FIELD_ATTENTION_MASK,
    ATTN_FIELD_KEY_OFFSET,
    ATTN_FIELD_KEY_LENGTHS,
    ATTN_FIELD_SCALING,
    ATTN_FIELD_SOFTCAP,
    ATTN_FIELD_ALIBI_SLOPES,
    ATTN_FIELD_SINKS,
    ATTN_FIELD_SPARSE_MASK,
    ATTN_FIELD_DROPOUT,
    ATTN_FIELD_DROPOUT_MASK,
    ATTN_FIELD_EMPTY_ROWS,
    ATTN_FIELD_ROW_MAX_OVER,
    ATTN_FIELD_OUTPUT,
    ATTN_FIELD_WEIGHTS,
    ATTN_FIELD_SCORES,
    ATTN_FIELD_PARTIALS,
    ATTN_FIELD_WORKSPACE,
    ATTN_FIELD_JOBS
};

const char *attn_status_string(enum attn_status status); /* a sentence without a full stop */
const char *attn_field_string(enum attn_field field);    /* the field's name as spelt below */

enum attn_dtype {
    ATTN_FLOAT32,
    ATTN_FLOAT16,  /* IEEE 754 binary16 */
    ATTN_BFLOAT16, /* the upper half of a float32 */
    ATTN_BOOL      /* one byte, 0 = false, anything else = true */
};

#define ATTN_ALIGNMENT 64 /* bytes, of the workspace */

/* A strided tensor [batch, heads, rows, columns]. Initialise with {0}: fields may be appended (a page
 * table, scales). Strides are in elements; 0 repeats one element along that dimension. */
struct attn_tensor {
    const void *data;
    enum attn_dtype dtype;
    size_t batch_stride, head_stride, row_stride;
    size_t column_stride; /* 1; masks also take 0 */
    size_t capacity;      /* elements readable from data */
};

/* Sparse mask over (query, key) pairs: weight 0 = not kept, w > 0 = kept with weight w. Its nodes are a program: each
 * is a leaf, or combines nodes before it; the last one is the mask. The time that attention takes follows what the mask
 * keeps. No nodes: no sparse masking, which is dense attention. */
enum attn_mask_kind {
    /* leaves */
    ATTN_MASK_FULL,      /* keeps every pair */
    ATTN_MASK_BAND,      /* keeps -before <= j - (i + offset) <= after: causal order, windows */
    ATTN_MASK_COLUMNS,   /* keeps j < ends[b]: sinks, prefixes */
    ATTN_MASK_DOCUMENTS, /* keeps begins[r] <= j < ends[r], and where there are ids those that agree */
    ATTN_MASK_BLOCKS,    /* keeps whole blocks: row (b * heads + h) * ceil(q_len / block_rows) + i / block_rows keeps
                            block columns indices[ptr[row] .. ptr[row + 1]) */
    ATTN_MASK_BITS,  /* keeps j where bits[r * bit_words + j / 32] >> j % 32 & 1, bit_words = 4 * ceil(k_len / 128) */
    ATTN_MASK_DENSE, /* weights [batch, heads, q_len, k_len] */
    ATTN_MASK_CSR,   /* row r keeps columns indices[ptr[r] .. ptr[r + 1]) */
    /* combinations of nodes left and right */
    ATTN_MASK_AND,   /* w1 * w2 */
    ATTN_MASK_OR,    /* max(w1, w2) */
    ATTN_MASK_MERGE, /* min(w1 + w2, 1) */
    ATTN_MASK_NOT    /* 1 where left is 0, else 0 */
};

/* What a kind does not use is not looked at. Row r of a leaf is (b * heads + h) * q_len + i, where b is 0 if its batch
 * is 1, and query head h of the problem uses head h / (problem.heads / heads). */
struct attn_mask_node {
    enum attn_mask_kind kind;
    uint32_t left, right;               /* combinations: nodes before this one */
    uint32_t batch, heads;              /* of arrays: 1 or problem.batch; a divisor of problem.heads */
    uint32_t before, after;             /* BAND: ATTN_UNBOUNDED = no limit on that side */
    int32_t offset;                     /* BAND */
    uint32_t block_rows, block_columns; /* BLOCKS: >= 1 */
    const uint32_t *begins;             /* DOCUMENTS: [batch * q_len] */
    const uint32_t *ends;               /* COLUMNS: [batch]; DOCUMENTS: [batch * q_len]; <= k_len */
    const int32_t *query_ids;           /* DOCUMENTS: [batch * q_len], or NULL: ranges alone */
    const int32_t *key_ids;             /* DOCUMENTS: [batch * k_len], or NULL */
    const uint32_t *bits;               /* BITS: [batch * heads * q_len * bit_words] */
    const float *weights;               /* DENSE: all; CSR: [indices_len], or NULL for all ones. Finite, >= 0 */
    const uint32_t *ptr;     /* CSR, BLOCKS: one entry for each row and the end, not decreasing, ptr[0] = 0 */
    const uint32_t *indices; /* CSR, BLOCKS: [indices_len], strictly ascending within a row, < number of columns */
    size_t indices_len;      /* CSR, BLOCKS: = ptr[last] */
};

#define ATTN_MASK_NODES 32 /* at most, in one mask */

struct attn_mask {
    const struct attn_mask_node *nodes;
    size_t count;
};

enum attn_weighting {
    ATTN_WEIGHTING_MULTIPLY, /* e * w */
    ATTN_WEIGHTING_INVERSE   /* e / (w + 1e-6): w is the probability with which the entry was sampled */
};

/* How what a sparse mask keeps is computed: in tiles, which take their columns from the first to the last, or row by row,
 * gathering the listed keys alone. AUTO takes for each ATTN_ROUTE_QUERIES queries and each tile what is less work; the
 * results of the two differ in rounding. */
enum attn_route { ATTN_ROUTE_AUTO, ATTN_ROUTE_TILES, ATTN_ROUTE_ROWS };
#define ATTN_ROUTE_QUERIES 12

/* Dropout with Philox4x32-10 (Salmon et al. 2011): key = seed (low, high word), counter = (J >> 2, i, h, b),
 * lane J & 3, J = key_offset + j; the entry stays iff its word >= floor(rate * 2^32), and is then scaled by
 * 1 / (1 - rate). Acts only where training != 0 and rate > 0. */
enum attn_dropout_placement {
    ATTN_DROPOUT_BEFORE_NORMALIZATION, /* the denominator includes it: rows of weights still sum to 1 */
    ATTN_DROPOUT_AFTER_NORMALIZATION   /* PyTorch's and Hugging Face's: unbiased */
};

struct attn_dropout {
    double rate; /* in [0, 1] */
    int training;
    enum attn_dropout_placement placement;
    uint32_t seed_low, seed_high;
    struct attn_tensor mask; /* ATTN_BOOL, broadcast to [batch, heads, q_len, k_len]: keep; replaces the generator */
};

enum attn_empty_rows { ATTN_EMPTY_ROWS_ZERO, ATTN_EMPTY_ROWS_NAN };
enum attn_row_max {
    ATTN_ROW_MAX_KEPT,
    ATTN_ROW_MAX_ALLOWED /* as sparse_attention_hub; sums underflow to 0 where every kept key is far below it */
};

#define ATTN_UNBOUNDED UINT32_MAX /* a window side without limit */

struct attn_problem {
    size_t batch, heads, key_heads, value_heads, q_len, k_len, dim, value_dim;
    struct attn_tensor queries; /* [batch, heads, q_len, dim]             float32, float16 or bfloat16 */
    struct attn_tensor keys;    /* [batch, key_heads, k_len, dim]         likewise */
    struct attn_tensor values;  /* [batch, value_heads, k_len, value_dim] likewise */

    float scaling; /* attn_problem_init sets 1 / sqrt(dim) */
    float softcap; /* s = softcap * tanh(s / softcap); 0 = off */

    struct attn_tensor attention_mask;  /* broadcast to [batch, heads, q_len, k_len]; floats are added to the
                                          scores, a boolean is 0 / -infinity; data = NULL: none */
    int causal;                         /* key position <= query position */
    int has_window;                     /* query - window_left <= key <= query + window_right, both inclusive */
    uint32_t window_left, window_right; /* ATTN_UNBOUNDED = no limit on that side */
    int32_t key_offset;                 /* >= 0 */
    const int32_t *query_offsets;       /* [batch]; NULL: key_offset + k_len - q_len */
    const int32_t *key_lengths;         /* [batch], each in 0 .. k_len; keys beyond are masked; NULL: k_len */
    const float *alibi_slopes;          /* [heads]; score -= slope * |query - key| (Press et al. 2022); NULL: none */
    const float *sinks;                 /* [heads]; a logit per head that only the denominator sees; NULL: none */

    struct attn_mask sparse_mask;
    enum attn_weighting weighting;
    enum attn_route route;
    struct attn_dropout dropout;

    enum attn_empty_rows empty_rows; /* rows that keep no key: output and weights 0, or NaN */
    enum attn_row_max row_max_over;  /* row_max over the kept keys, or over all keys allowed before the sparse mask */
};

/* Which scores to hand out: after scaling, after the softcap, or after ALiBi and every mask but the sparse one. */
enum attn_score_stage { ATTN_SCORES_RAW, ATTN_SCORES_SOFTCAPPED, ATTN_SCORES_BIASED };

/* What to compute: every pointer that is not NULL is filled. All float32. */
struct attn_result {
    float *output;              /* element (b, i, h, x) at b * batch_stride + h * head_stride + i * row_stride + x */
    size_t output_batch_stride; /* elements; attn_result_init sets the layout [batch, q_len, heads, value_dim] */
    size_t output_head_stride, output_row_stride;
    size_t output_capacity; /* elements writable at output */
    float *log_sum_exp;     /* [batch, heads, q_len]: before dropout, without the sink, with the mask's weights */
    float *numerator;       /* [batch, heads, q_len, value_dim]: sum of e * v, without the sink */
    float *denominator;     /* [batch, heads, q_len]: sum of e, without the sink */
    float *row_max;         /* [batch, heads, q_len]: what the exponentials are relative to */
    float *weights;         /* [batch, heads, rows, columns]: what multiplied the values */
    float *scores;          /* [batch, heads, rows, columns] */
    enum attn_score_stage score_stage;
    size_t row_begin, row_end;       /* queries that weights and scores cover; attn_result_init sets 0, q_len */
    size_t column_begin, column_end; /* keys that weights and scores cover; attn_result_init sets 0, k_len */
    float *entry_weights; /* weights of the entries that attn_list_entries lists, in its order: [entry_ptr[last]] */
    const uint32_t *entry_ptr; /* as attn_list_entries fills it in: [batch * heads * rows + 1] */
    uint8_t *dropout_mask;     /* [batch, heads, q_len, k_len]: 1 = kept by dropout */
};

/* How a problem will be computed: integers only, no pointers, so it can be copied to another thread.
 * A job is (batch, group of query heads that share keys and values, block of queries). */
struct attn_plan {
    enum attn_field field;  /* after an error: what it speaks of */
    size_t jobs;            /* independent; run them in any order, split in any way */
    size_t workspace_bytes; /* for one call of attn_run, whatever its range */
    size_t group_heads;     /* query heads folded into one job */
    size_t group_count;     /* heads / group_heads */
    size_t block_queries;   /* queries of one job */
    size_t block_count;     /* ceil(q_len / block_queries) */
    size_t block_rows;      /* group_heads * block_queries */
    size_t tile_count;      /* ceil(k_len / ATTN_TILE_KEYS) */
    size_t unit_count;      /* units of ATTN_ROUTE_QUERIES queries in a job, for each of its mask_heads */
    size_t mask_heads;      /* rows of the sparse mask that a query has in a job; 0: everything is computed in tiles */
    int in_place;           /* so few and so long queries that keys and values are read where they stand, not packed */
    int visit_all;          /* every tile is computed: scores or the maximum over all keys were asked for */
    int heads_apart;        /* rows of a job: all queries of its first head, then of the next; else query by query */
    /* workspace offsets in bytes */
    size_t queries_offset, keys_offset, values_offset, accumulators_offset, scores_offset, scratch_offset;
    size_t softmax_offset, mask_rows_offset, tile_max_offset, routes_offset, tallies_offset;
};

#define ATTN_TILE_KEYS 128 /* keys of one tile */

/* Fills in a dense problem on contiguous tensors with default parameters; the caller sets the data pointers. */
void attn_problem_init(struct attn_problem *problem, size_t batch, size_t heads, size_t key_heads, size_t value_heads,
                       size_t q_len, size_t k_len, size_t dim, size_t value_dim);

/* Sets the default layout and the full window; the caller sets the pointers of what it wants. */
void attn_result_init(struct attn_result *result, const struct attn_problem *problem);

/* Checks everything, index arrays by value, and plans the work. Nothing is written but *plan. */
enum attn_status attn_plan_init(struct attn_plan *plan, const struct attn_problem *problem,
                                const struct attn_result *result);

/* Runs jobs [job_begin, job_end) of a plan made for this very problem and result. */
enum attn_status attn_run(const struct attn_plan *plan, const struct attn_problem *problem,
                          const struct attn_result *result, void *workspace, size_t workspace_bytes, size_t job_begin,
                          size_t job_end);

/* How far a run has come; {0} before its first slice. */
struct attn_progress {
    size_t job;  /* jobs before it are done: the run is over where job = plan.jobs */
    size_t tile; /* of that job, tiles before it are done; past the last one, rows are gathered and written */
    size_t row;  /* of that tile, rows before it are done; the job's state waits in the workspace */
};

/* Runs on from *progress for about `row_tiles` (one row against one tile of keys each), at least a few rows, and
 * moves *progress. Between slices the problem, its data, the result and the workspace must stay as they are. */
enum attn_status attn_run_slice(const struct attn_plan *plan, const struct attn_problem *problem,
                                const struct attn_result *result, void *workspace, size_t workspace_bytes,
                                struct attn_progress *progress, size_t row_tiles);

/* The entries of the sparse mask within the rows and columns that weights cover, as compressed sparse rows, whatever
 * other masks take out; without a sparse mask, the entries that causal order, window, key lengths and attention mask
 * leave. Row (b * heads + h) * rows + i has the columns indices[ptr[row] .. ptr[row + 1]), counted from column_begin on,
 * ascending. Called with indices NULL it fills in ptr [batch * heads * rows + 1]; ATTN_ERROR_SIZE if there are more
 * than 2^32 - 1. Called with indices [ptr[last]] it fills these in. The problem must have been planned with success. */
enum attn_status attn_list_entries(const struct attn_problem *problem, const struct attn_result *result, uint32_t *ptr,
                                   uint32_t *indices);

/* What a problem's masks keep and what computing it takes, counted without computing it. Counts are whole numbers. */
struct attn_explanation {
    double kept;    /* (batch, head, query, key) that take part */
    double skipped; /* tiles, of one head, ATTN_ROUTE_QUERIES queries and ATTN_TILE_KEYS keys, that keep nothing, */
    double full;    /* everything, */
    double partial; /* or a part */
    double gathered_rows; /* (batch, head, query) with keys that are gathered one by one */
    double gathered;      /* such keys */
    double flops;         /* additions and multiplications of both products */
    double bytes;         /* of queries, keys and values read and output written; keys and values once for each use */
};

/* Takes what attn_run takes: the workspace is written. */
enum attn_status attn_explain(const struct attn_plan *plan, const struct attn_problem *problem,
                              const struct attn_result *result, void *workspace, size_t workspace_bytes,
                              struct attn_explanation *explanation);

/* Attention over disjoint key ranges, as numerator [rows, value_dim], denominator [rows], row_max [rows]. */
struct attn_partials {
    float *numerator, *denominator, *row_max;
};

/* Merges `source` into `destination`, exactly: M = max(m1, m2); each side scaled by e^(m - M). */
enum attn_status attn_partials_merge(struct attn_partials destination, struct attn_partials source, size_t rows,
                                     size_t value_dim);

/* Divides numerator by denominator (plus the sinks) into result->output and result->log_sum_exp.
 * Of the problem it reads batch, heads, q_len, value_dim, sinks and empty_rows. */
enum attn_status attn_partials_finish(const struct attn_partials *partials, const struct attn_problem *problem,
                                      const struct attn_result *result);

/* Converts between float32 and float16 / bfloat16. Narrowing rounds to nearest even, overflows to infinity
 * and keeps subnormals. */
enum attn_status attn_convert(void *destination, enum attn_dtype destination_dtype, const void *source,
                              enum attn_dtype source_dtype, size_t count);

#ifdef __cplusplus
}
#endif

#endif
