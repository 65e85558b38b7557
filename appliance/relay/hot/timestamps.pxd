cdef long long days_since_1970(long long year, int month, int day) noexcept
cdef int days_in(int year, int month) noexcept
cdef long long rfc3339(unsigned char* p, Py_ssize_t start, Py_ssize_t end) noexcept
cdef long long year_of(long long days) noexcept
cdef int month_of(unsigned char* p, Py_ssize_t at) noexcept
