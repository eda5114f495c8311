"""A connection as one of many: counted, made room for, or turned away."""

from .admission cimport Admission
from .outlet cimport Outlet
from .shared cimport Shared


cdef class CountedOutlet(Outlet):

    cdef int admit(self) except -1:
        """Count it. One too many is turned away, unless an idle one can go in its place."""
        cdef Admission admission = self.shared.admission
        if admission.limit and admission.count >= admission.limit:
            if not self.shared.close_oldest():
                return self.turn_away("the server is at its limit of connections",
                                      f"{admission.limit} connections (--limit-connections)")
        self.counted = True
        admission.count += 1
        if admission.most_descriptors:
            sock = self.transport.get_extra_info("socket")
            if sock is not None:
                admission.see(sock.fileno(), len(self.shared.open))
                if admission.excess() > 0:
                    self.shared.run_short()
        # Of a connection that a proxy passes on it is not known yet.
        return 0 if self.shared.proxy_protocol else self.admit_client()

    cdef int admit_client(self) except -1:
        """Count it for its client, once it is known who that is; one too many is turned away."""
        cdef Admission admission = self.shared.admission
        if admission is None or admission.per_client == 0 or self.client is None or self.closing:
            return 0
        self.client_key = admission.enter_client(self.client[0])
        if self.client_key is None:
            self.turn_away(
                "too many connections from one address",
                f"{admission.per_client} connections from {self.client[0]} "
                f"(--limit-connections-per-client)")
        return 0

    cdef int leave_count(self) except -1:
        cdef Shared shared = self.shared
        cdef Admission admission = shared.admission
        if admission is None:
            return 0
        if self.counted:
            self.counted = False
            admission.count -= 1
        if self.client_key is not None:
            admission.leave_client(self.client_key)
            self.client_key = None
        if self.lingering:
            self.lingering = False
            admission.lingering -= 1
        if shared.short:
            # Behind the close of the descriptor.
            shared.loop.call_soon(shared._look_for_room)
        return 0

    cdef int turn_away(self, str reason, str limit) except -1:
        """503, or nothing where TLS stands in front; it costs no more than the words take to read."""
        cdef Admission admission = self.shared.admission
        self.leave_count()
        admission.refuse(limit)
        self.shared.row.refused()
        if self.front is not None:
            return self.abort()
        self.shared.write_answer(self.buffer(), 503, reason, False)
        self.shared.row.responded(503)
        self.lingering = admission.may_linger()
        return self.close(self.lingering)
