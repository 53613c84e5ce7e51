/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_CRASH_H
#define XM_CRASH_H

#ifdef CRASHLAB
extern int xm_crash_at;
void xm_crash_point(int n);
#define CRASH_POINT(n) xm_crash_point(n)
#else
#define CRASH_POINT(n) ((void)0)
#endif

#endif
