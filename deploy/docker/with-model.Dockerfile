# A container that carries its model, for a challenge that mounts none. The context is the model's folder:
#   docker build --file deploy/docker/with-model.Dockerfile --build-arg IMAGE=simcrop:cuda --tag submission MODEL
ARG IMAGE=simcrop:cuda
# hadolint ignore=DL3006
FROM ${IMAGE}
ARG TASK=predict
ENV SIMCROP_TASK=${TASK}
COPY --chmod=0755 . /model
