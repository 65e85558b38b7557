cdef class Conn:
    cdef public int input
    cdef public bytes sender
    cdef public bint octets
    cdef public str protocol
    cdef bint known  # its first bytes have been looked at
    cdef public long long discard
    cdef public bint skip_line
    cdef public long long txn_first
    cdef public long long txn_count
    cdef public list ranges
    cdef public long long unacked  # messages
    cdef public Py_ssize_t consumed


cdef class Framing:
    cdef public Py_ssize_t max_message
    cdef public long long now_ns
    cdef public long long frames_cut
    cdef public object messages
    cdef public object octets
    cdef public dict other_protocols
    cdef public tuple inputs
    cdef long long[::1] input_messages
    cdef long long[::1] input_octets
    cdef list words

    cdef object _frame(self, Conn conn, unsigned char* p, Py_ssize_t start, Py_ssize_t end)
    cdef int _word(self, str word)
    cdef bint _full(self) noexcept
    cdef object _cut(self, Conn conn, unsigned char* p, Py_ssize_t start)
    cdef int _look(self, Conn conn, unsigned char* p, Py_ssize_t start, Py_ssize_t end)
    cdef int _counted(self, Conn conn, unsigned char* p, Py_ssize_t at, Py_ssize_t end, long long size) noexcept
    cdef Py_ssize_t _resync(self, unsigned char* p, Py_ssize_t start, Py_ssize_t end) noexcept
