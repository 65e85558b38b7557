cdef class BatchStreams:
    cdef public list labels
    cdef public long long entries
    cdef public long long oldest_ns
    cdef public long long newest_ns
    cdef int[::1] offset
    cdef int[::1] size
    cdef int[::1] count
    cdef long long[::1] oldest
    cdef long long[::1] newest

    cdef int add(self, str labels, int offset, int size, int entries, long long oldest, long long newest)
