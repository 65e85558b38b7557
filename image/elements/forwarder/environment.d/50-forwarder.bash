# The data partition is mounted while building, so that its directories are made once, here.
export DIB_APT_MINIMAL_CREATE_INTERFACES=0
export DIB_DEBOOTSTRAP_DEFAULT_LOCALE=C.UTF-8
